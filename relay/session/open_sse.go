package session

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
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// HandleSSE is GET /sse.
func (m *Manager) HandleSSE(ctx *fasthttp.RequestCtx) {
	marks, bad := positions(ctx)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	if cursor := LastEventID(ctx); cursor != "" {
		var err error
		if marks, err = wire.ParseCursor([]byte(cursor)); err != nil {
			// Some other server's id: nothing can be resumed from it, and the client is told.
			marks = []wire.Mark{}
		}
	}
	a, bad := m.Authenticate(ctx, "")
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	a.Encoding, a.marks = hub.WholeSSE, marks
	if string(ctx.QueryArgs().Peek("short")) == "1" {
		a.Encoding = hub.SSE
	}
	a.revocations = m.revocations.made.Load()
	if !m.choose(ctx, a) {
		return
	}
	a.Head = append(make([]byte, 0, 512), sseHead...)
	a.Head = append(m.gate.AppendCORS(a.Head, ctx), "\r\n"...)
	m.Hijack(ctx, a, m.openSSE)
}

// choose finds out which of the channels of the query a stream may follow. What is wrong with one of them is told of
// that one, on the stream, and keeps nobody from the others. Where there are no others the request is refused, and
// choose returns false; a client that says its positions, and so was here before, gets its stream all the same.
func (m *Manager) choose(ctx *fasthttp.RequestCtx, a *Handshake) bool {
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
func (m *Manager) openSSE(nc net.Conn, _ []byte, a *Handshake) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	own := ""
	if s.user != "" {
		own = wire.UserChannel(s.user)
	}
	channels := append([]string{own}, a.channels...)
	s.sse = newStream(channels, a.marks)
	a.Head = AppendRetry(a.Head)
	s.conn = m.hub.Pool.Open(nc, s.enc, true, s)
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: m.rules})
	defer m.catch(s, s.abortOpen)
	s.conn.Cork() // whoever has seen the answer to the request follows all of its channels
	defer s.conn.Uncork()
	m.hub.Counters.Opened.Of("sse").Inc()
	m.start(s, a.Head, 0, s.firstTurn)
	for _, d := range a.denied {
		s.without(d)
	}
	for i, channel := range channels[1:] {
		if err := s.subscribe(&subscribeRequest{channel: channel, JoinRequest: broker.JoinRequest{From: s.sse.from(i + 1)}, decision: a.decisions[i], revocations: a.revocations}); err != nil {
			s.without(denial{channel, problem.Of(err)})
			continue
		}
		s.recheck(channel)
	}
}

// denial is a channel that an event stream goes without, and why.
type denial struct {
	channel string
	why     *problem.Error
}

// without tells an event stream which channel it goes without, for good or for now, in turn with the answer to the
// request, which may not have been written yet.
func (s *Session) without(d denial) {
	kind, b := "unsubscribed", unsubscribedMessage(d.channel, d.why)
	if d.why.Retryable {
		kind, b = "error", append(bytes.TrimSuffix(d.why.AppendError(nil, nil), []byte{'}'}), `,"channel":`...)
		b = append(wire.AppendString(b, d.channel), '}')
	}
	s.conn.Reply(s.manager.frameFor(s, kind, b), nil)
}

// mayAll says of each channel whether a client may follow it. Where a backend decides, it is asked about asideLines of them
// at once.
func (m *Manager) mayAll(id *auth.Identity, channels []string) ([]hub.Decision, []error) {
	decisions, errs := make([]hub.Decision, len(channels)), make([]error, len(channels))
	var asking sync.WaitGroup
	room := make(chan struct{}, asideLines)
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
