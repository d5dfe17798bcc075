package native

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/session"
)

// HandleSSE is GET /sse.
func (m *Server) HandleSSE(ctx *fasthttp.RequestCtx) {
	marks, bad := positions(ctx)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	if cursor := session.LastEventID(ctx); cursor != "" {
		var err error
		if marks, err = wire.ParseCursor([]byte(cursor)); err != nil {
			// Some other server's id: nothing can be resumed from it, and the client is told.
			marks = []wire.Mark{}
		}
	}
	h, bad := m.sessions.Authenticate(ctx, "")
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	a := &opening{Handshake: h, server: m, events: true, marks: marks, revocations: m.sessions.Revocations()}
	a.Encoding = hub.WholeSSE
	if string(ctx.QueryArgs().Peek("short")) == "1" {
		a.Encoding = hub.SSE
	}
	a.Features = Features(ctx) &^ pool.Forks // which is of WebSockets
	if !m.choose(ctx, a) {
		return
	}
	a.Head = append(make([]byte, 0, 512), sseHead...)
	a.Head = append(m.gate.AppendCORS(a.Head, ctx), "\r\n"...)
	m.sessions.Hijack(ctx, &a.Handshake, a)
}

// choose finds out which of the channels of the query a stream may follow. What is wrong with one of them is told of
// that one, on the stream, and keeps nobody from the others. Where there are no others the request is refused, and
// choose returns false; a client that says its positions, and so was here before, gets its stream all the same.
func (m *Server) choose(ctx *fasthttp.RequestCtx, a *opening) bool {
	var wanted []string
	for _, c := range ctx.QueryArgs().PeekMulti("channel") {
		switch channel := string(c); {
		case slices.Contains(wanted, channel):
		case a.Identity.User != "" && channel == wire.UserChannel(a.Identity.User): // it is followed anyway, and does not count
		case !wire.ValidChannel(channel):
			a.denied = append(a.denied, denial{channel, problem.BadChannel})
		default:
			wanted = append(wanted, channel)
		}
	}
	for _, channel := range a.Identity.Follows() {
		if !slices.Contains(wanted, channel) {
			wanted = append(wanted, channel)
		}
	}
	decisions, errs := m.mayAll(a.Identity, wanted)
	for i, err := range errs {
		if err == nil && len(a.channels) == m.hub.Config.Limit.Subscriptions {
			err = problem.TooManyChannels
		}
		if err != nil {
			a.denied = append(a.denied, denial{wanted[i], problem.Of(m.denied(err, a.Identity, auth.Subscribe, wanted[i]))})
			continue
		}
		a.channels, a.decisions = append(a.channels, wanted[i]), append(a.decisions, decisions[i])
	}
	if len(a.channels) > 0 || len(a.denied) == 0 || ctx.QueryArgs().Has("position") {
		return true
	}
	first := a.denied[0]
	m.gate.Refuse(ctx, first.why)
	ctx.SetBody(wire.AppendString(append(bytes.TrimSuffix(ctx.Response.Body(), []byte("}")), `,"channel":`...), first.channel))
	ctx.Response.AppendBodyString("}")
	return false
}

// unevenPositions is what is wrong with an address that has a position for some of its channels only.
const unevenPositions = "there must be as many positions as channels; one may be empty"

// positions are where a client stands already, one for each channel of the query: EPOCH:SEQ, or nothing.
func positions(ctx *fasthttp.RequestCtx) ([]wire.Mark, *problem.Error) {
	channels, list := ctx.QueryArgs().PeekMulti("channel"), ctx.QueryArgs().PeekMulti("position")
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) != len(channels) {
		return nil, problem.BadField.With(unevenPositions)
	}
	var marks []wire.Mark
	for i, at := range list {
		if len(at) == 0 {
			continue
		}
		p, bad := readPosition(at)
		if bad != nil {
			return nil, bad
		}
		marks = append(marks, wire.Mark{Channel: wire.ChannelHash(string(channels[i])), Epoch: p.Epoch, Seq: p.Seq})
	}
	return marks, nil
}

// readPosition reads EPOCH:SEQ.
func readPosition(at []byte) (broker.Position, *problem.Error) {
	epoch, seq, _ := strings.Cut(string(at), ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || epoch == "" || len(epoch) > 64 {
		return broker.Position{}, problem.BadField.With("position must be EPOCH:SEQ")
	}
	return broker.Position{Epoch: epoch, Seq: n}, nil
}

// openSSE starts an event stream. The channels are joined one after the other; live events of the first
// may come before the answer of the last.
func (m *Server) openSSE(nc net.Conn, a *opening) {
	own := ""
	if a.Identity.User != "" {
		own = wire.UserChannel(a.Identity.User)
	}
	channels := append([]string{own}, a.channels...)
	s := m.place(nc, &a.Handshake, newStream(channels, a.marks))
	if s == nil {
		return
	}
	a.Head = AppendRetry(a.Head)
	s.ConnectEvents(nc, true)
	defer s.Catch(s.AbortOpen)
	s.Conn().Cork() // a client that has seen the answer to the request follows all of its channels
	defer s.Conn().Uncork()
	s.start(a.Head, 0, s.FirstTurn)
	for _, d := range a.denied {
		s.without(d)
	}
	for i, channel := range channels[1:] {
		if err := s.Subscribe(&session.SubscribeRequest{Channel: channel, JoinRequest: broker.JoinRequest{From: s.stream.from(i + 1)}, Decision: a.decisions[i], Revocations: a.revocations}); err != nil {
			s.without(denial{channel, problem.Of(err)})
			continue
		}
		s.Recheck(channel)
	}
}

// denial is a channel that an event stream goes without, and why.
type denial struct {
	channel string
	why     *problem.Error
}

// without tells an event stream which channel it goes without, for good or for now, in turn with the answer to the
// request, which may not have been written yet.
func (s *speaker) without(d denial) {
	kind, b := "unsubscribed", unsubscribedMessage(d.channel, d.why)
	if d.why.Retryable {
		kind, b = "error", append(bytes.TrimSuffix(d.why.AppendError(nil, nil), []byte{'}'}), `,"channel":`...)
		b = append(wire.AppendString(b, d.channel), '}')
	}
	s.Conn().Reply(s.frame(kind, b), nil)
}

// mayAll returns for each channel whether a client may follow it. Where a backend decides, it is asked about session.Lines of them
// at once.
func (m *Server) mayAll(id *auth.Identity, channels []string) ([]hub.Decision, []error) {
	decisions, errs := make([]hub.Decision, len(channels)), make([]error, len(channels))
	var asking sync.WaitGroup
	room := make(chan struct{}, session.Lines)
	leave := func() { <-room }
	start := time.Now()
	var failed atomic.Bool
	for i, channel := range channels {
		if decisions[i], errs[i] = m.hub.Namespaces.Decide(id, auth.Subscribe, channel, hub.WaitForDisk); errs[i] != hub.ErrUndecided { //nolint:errorlint // it is not wrapped
			continue
		}
		errs[i] = hub.ErrUnavailable
		room <- struct{}{}
		m.hub.Contain.Go(&asking, "question", func() { // ends with the question, and is waited for
			if failed.Load() && time.Since(start) >= m.hub.Config.Auth.Webhook.Timeout { // as in hasteOf
				errs[i] = hub.ErrUnavailable
			} else if decisions[i], errs[i] = m.hub.Namespaces.Decide(id, auth.Subscribe, channel, hub.WaitForAll); errors.Is(errs[i], hub.ErrUnavailable) {
				failed.Store(true)
			}
			leave()
		}, leave)
	}
	asking.Wait()
	return decisions, errs
}
