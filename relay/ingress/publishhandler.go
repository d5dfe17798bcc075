package ingress

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/problem"
)

// publishHandler answers fast requests. It belongs to one goroutine. Answers that wait for the disk it writes at once, but
// they are only pending: nobody gets one before it is known how it went. Those of another node have their place, until it says what they are.
type publishHandler struct {
	// Set once.
	gate    *Gate
	durable func(*broker.Publisher, *wire.Command) error // admit

	request fastRequest
	out     []byte // answers to one connection
	waits   []span // those of out that wait, in order
	fresh   []pendingAck
	serial  uint64 // of the last pending ack
	room    int    // how many more may be pending
	loads   int    // channels that are being loaded
	body    []byte // of an answer of another node
	date    []byte // of answers, and in which second that was
	at      int64

	missing string // the channel that a request has to wait for
	came    bool   // and did: the next request's channel was loaded
	failed  error  // or was not, and why
}

// The most that is owed: to one connection, and at one event loop; and the most channels that are loaded at once for an event loop.
const (
	maxPending      = 64
	maxPendingBytes = 16 << 10
	maxLoopPending  = 16 << 10
	maxLoads        = 64
)

// Why a publication is not made now. Nobody is told.
var (
	errRetryLater = errors.New("too many publications of the connection are pending")
	errForwarded  = errors.New("another node owns the channel")
)

// admit is asked before something is published that is durable, or another node's.
func (t *publishHandler) admit(publisher *broker.Publisher, c *wire.Command) error {
	h := t.gate.hub
	switch {
	case h.Elsewhere(c.Channel):
		switch {
		case h.Namespaces.Of(c.Channel).Log.Durable: // it may just be becoming this node's, which would have to load it
			return errForwarded
		case t.room <= 0:
			return errRetryLater
		}
		return nil
	case t.came:
		t.came = false
		return t.failed
	case t.room <= 0 && c.Ack != "memory":
		return errRetryLater
	case publisher.Ready(c.Channel):
		return nil
	case t.loads >= maxLoads:
		return errRetryLater
	default:
		t.missing = strings.Clone(c.Channel)
		return hub.ErrNotLoaded
	}
}

// handle answers the fast request that t has read: whole. Otherwise it has done nothing. What the HTTP server is to
// see is not eligible: a stranger's, and lines that may have to wait for the disk. The rest has to wait.
func (t *publishHandler) handle(g *Conn) form {
	in, p := t.gate, &t.request
	if in.ForeignName(p.host, g) || p.size > int(in.hub.Config.Limit.Request) {
		return notEligible
	}
	if p.route != nil {
		return t.handleRoute(g)
	}
	if p.key == nil || !in.HasKey(g, p.key) {
		return notEligible
	}
	lines, ok := hub.Publication(p.kind)
	if !ok || lines && in.hub.AcksWait() {
		return notEligible
	}
	if t.tooManyPending(g.state.replies) {
		return tooManyPending
	}
	k := in.hub.Publisher()
	defer k.Release()
	k.Traceparent = p.trace
	if lines {
		k.Brief = p.brief
		k.Lines(in.hub, p.body)
		t.respond(fasthttp.StatusOK, "application/x-ndjson", k.Out)
		t.count(fasthttp.StatusOK)
		return complete
	}
	k.Durable = t.durable
	var receipt broker.Receipt
	var err error
	k.Out, receipt, err = k.Submit(in.hub, k.Out, p.body)
	if err != nil {
		return t.decline(err)
	}
	from := len(t.out)
	if len(k.Out) > 0 {
		t.respond(fasthttp.StatusOK, "application/json", k.Out)
	}
	if receipt.Wait == nil {
		t.count(fasthttp.StatusOK)
		return complete
	}
	t.serial++
	t.waits = append(t.waits, span{from: from, to: len(t.out), id: t.serial})
	t.fresh = append(t.fresh, pendingAck{conn: g, id: t.serial, receipt: receipt})
	t.room--
	return complete
}

// handleRoute is handle for a request of a system's.
func (t *publishHandler) handleRoute(g *Conn) form {
	p := &t.request
	if t.gate.hub.Cluster != nil {
		return notEligible // it may have to ask another node
	}
	if t.tooManyPending(g.state.replies) {
		return tooManyPending
	}
	status, out, ok := p.route.Serve(p.target, p.body)
	if !ok {
		return notEligible
	}
	t.respond(status, "application/json", out)
	t.count(status)
	return complete
}

// decline answers a publication that was not made, or says what comes first.
func (t *publishHandler) decline(err error) form {
	switch {
	case errors.Is(err, hub.ErrNotLoaded):
		return needsLoad
	case errors.Is(err, errRetryLater):
		return retryLater
	case errors.Is(err, hub.ErrMany), errors.Is(err, errForwarded):
		return notEligible
	}
	f := problem.Of(err)
	if f == problem.Internal {
		return notEligible // there it fails again, and is logged
	}
	t.refuse(f)
	return complete
}

// tooManyPending reports whether as much is owed to a connection as may be.
func (t *publishHandler) tooManyPending(b *pendingReplies) bool {
	waits, bytes := len(t.waits), len(t.out)
	if b != nil {
		waits += len(b.waits)
		bytes += len(b.out)
	}
	return waits > 0 && (waits >= maxPending || bytes >= maxPendingBytes)
}

// refuse appends the answer that something went wrong.
func (t *publishHandler) refuse(f *problem.Error) {
	t.respond(f.Status, "application/problem+json", f.AppendProblem(nil))
	t.count(f.Status)
}

// complete settles an answer that a connection is owed: it was safe, or the pending ack says why not.
func (t *publishHandler) complete(b *pendingReplies, p *pendingAck) {
	t.out = t.out[:0]
	switch {
	case p.err == nil && p.receipt.Position.Epoch != "": // the answer is there
		t.count(fasthttp.StatusOK)
		b.resolve(p.id, nil)
		return
	case p.err == nil:
		t.body = append(wire.AppendPosition(append(t.body[:0], `{"position":`...), p.at.Epoch, p.at.Seq), '}')
		t.respond(fasthttp.StatusOK, "application/json", t.body)
		t.count(fasthttp.StatusOK)
	default:
		f := problem.Of(p.err)
		if f == problem.Internal {
			t.gate.hub.Log.Error("request failed", slog.String("path", PublishPath), slog.String("error", p.err.Error()))
		}
		t.refuse(f)
	}
	b.resolve(p.id, t.out)
}

// respond appends an answer.
func (t *publishHandler) respond(status int, kind string, body []byte) {
	b := t.out
	if status == fasthttp.StatusOK {
		b = append(b, "HTTP/1.1 200 OK\r\nServer: weir\r\nDate: "...)
	} else {
		b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10)
		b = append(append(append(b, ' '), fasthttp.StatusMessage(status)...), "\r\nServer: weir\r\nDate: "...)
	}
	b = append(append(append(b, t.date...), "\r\nContent-Type: "...), kind...)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	if status == fasthttp.StatusServiceUnavailable || status == fasthttp.StatusTooManyRequests {
		b = append(b, "\r\nRetry-After: 1"...)
	}
	t.out = append(append(b, "\r\n\r\n"...), body...)
}

// count counts an answer that is sent.
func (t *publishHandler) count(status int) { t.gate.hub.Counters.Classes[status/100].Inc() }

// refreshDate keeps the date of answers, and returns what time it is.
func (t *publishHandler) refreshDate() time.Time {
	now := time.Now()
	if at := now.Unix(); at != t.at {
		t.at = at
		t.date = now.UTC().AppendFormat(t.date[:0], http.TimeFormat)
	}
	return now
}

// handleAll answers the fast requests that b begins with, one after the other. It returns how many bytes they are,
// and what the rest is.
func (t *publishHandler) handleAll(g *Conn, b []byte) (n int, rest form) {
	t.out, t.waits = t.out[:0], t.waits[:0]
	for n < len(b) {
		how := t.request.read(b[n:])
		if how == complete {
			how = t.handle(g)
		}
		if how != complete {
			return n, how
		}
		n += t.request.size
	}
	return n, complete
}

// Publications handles the publications that b begins with as an event loop does, and returns the answers, how many bytes
// of b they are to, and whether the rest may become another one. It is for those who hold the two ways in against each other.
func (g *Gate) Publications(b []byte) (answers []byte, n int, more bool) {
	t := &publishHandler{gate: g, room: g.MaxPending, request: fastRequest{routes: g.Fast}}
	t.durable = t.admit
	t.refreshDate()
	n, rest := t.handleAll(&Conn{state: &loopState{}}, b)
	return t.out, n, rest == incomplete
}
