package relay

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

// teller answers plain requests. It belongs to one goroutine. Answers that wait for the disk it writes at once, but
// they are only pledged: nobody gets one before the clerk says how it went.
type teller struct {
	// Set once.
	gate    *Gate
	durable func(*broker.Publisher, *wire.Command) error // admit

	plain plain
	out   []byte // answers to one guest
	waits []span // those of out that wait for the disk, in order
	fresh []pledge
	room  int    // how many more may be pledged
	loads int    // channels that are being loaded
	date  []byte // of answers, and in which second that was
	at    int64

	absent string // the channel that a request has to wait for
	came   bool   // and did: the next request's channel was loaded
	failed error  // or was not, and why
}

// The most that is owed: to one guest, and at one desk; and the most channels that are loaded at once for a desk.
const (
	maxOwed      = 64
	maxOwedBytes = 16 << 10
	maxPledges   = 16 << 10
	maxLoads     = 64
)

// Why a publication is not made now. Nobody is told.
var (
	errAbsent = errors.New("its channel is not in memory")
	errLater  = errors.New("enough is owed")
)

// admit is asked before something durable is published.
func (t *teller) admit(publisher *broker.Publisher, c *wire.Command) error {
	switch {
	case t.came:
		t.came = false
		return t.failed
	case t.room <= 0 && c.Ack != "memory":
		return errLater
	case publisher.Ready(c.Channel):
		return nil
	case t.loads >= maxLoads:
		return errLater
	default:
		t.absent = strings.Clone(c.Channel)
		return errAbsent
	}
}

// answer answers the plain request that t has read: whole. Otherwise it has done nothing. What the HTTP server is to
// see is foreign: a stranger's, and lines that may have to wait for the disk. The rest has to wait.
func (t *teller) answer(g *guest) form {
	in, p := t.gate, &t.plain
	if in.hub.Config.Dev && !in.localName(p.host, g) || p.size > int(in.hub.Config.Limit.Request) {
		return foreign
	}
	if p.key == nil || !in.hasKey(g, p.key) {
		return foreign
	}
	lines, ok := hub.Publication(p.kind)
	if !ok || lines && in.hub.Disk != nil {
		return foreign
	}
	if t.crowded(g.seat.tab) {
		return crowded
	}
	k := in.hub.Publisher()
	defer k.Release()
	if lines {
		k.Lines(in.hub, p.body)
		t.respond(fasthttp.StatusOK, "application/x-ndjson", k.Out)
		t.count(fasthttp.StatusOK)
		return whole
	}
	k.Durable = t.durable
	var receipt broker.Receipt
	var err error
	k.Out, receipt, err = k.Submit(in.hub, k.Out, p.body)
	if err != nil {
		return t.decline(err)
	}
	from := len(t.out)
	t.respond(fasthttp.StatusOK, "application/json", k.Out)
	if receipt.Wait == nil {
		t.count(fasthttp.StatusOK)
		return whole
	}
	t.waits = append(t.waits, span{from, len(t.out)})
	t.fresh = append(t.fresh, pledge{guest: g, wait: receipt.Wait, done: receipt.Done})
	t.room--
	return whole
}

// decline answers a publication that was not made, or says what comes first.
func (t *teller) decline(err error) form {
	switch {
	case errors.Is(err, errAbsent):
		return absent
	case errors.Is(err, errLater):
		return later
	case errors.Is(err, hub.ErrMany):
		return foreign
	}
	f := problem.Of(err)
	if f == problem.Internal {
		return foreign // there it fails again, and is logged
	}
	t.refuse(f)
	return whole
}

// crowded says that as much is owed to a guest as may be.
func (t *teller) crowded(b *tab) bool {
	waits, bytes := len(t.waits), len(t.out)
	if b != nil {
		waits += len(b.waits)
		bytes += len(b.out)
	}
	return waits > 0 && (waits >= maxOwed || bytes >= maxOwedBytes)
}

// refuse appends the answer that something went wrong.
func (t *teller) refuse(f *problem.Error) {
	t.respond(f.Status, "application/problem+json", f.AppendProblem(nil))
	t.count(f.Status)
}

// honour settles the first of the answers that a guest is owed: it was safe, or err says why not.
func (t *teller) honour(b *tab, err error) {
	if err == nil {
		t.count(fasthttp.StatusOK)
		b.settle(nil)
		return
	}
	f := problem.Of(err)
	if f == problem.Internal {
		t.gate.hub.Log.Error("request failed", slog.String("path", publishPath), slog.String("error", err.Error()))
	}
	t.out = t.out[:0]
	t.refuse(f)
	b.settle(t.out)
}

// respond appends an answer.
func (t *teller) respond(status int, kind string, body []byte) {
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
func (t *teller) count(status int) { t.gate.hub.Counters.Classes[status/100].Inc() }

// today keeps the date of answers.
func (t *teller) today() {
	now := time.Now()
	if at := now.Unix(); at != t.at {
		t.at = at
		t.date = now.UTC().AppendFormat(t.date[:0], http.TimeFormat)
	}
}

// take answers the plain requests that b begins with, one after the other. It answers how many bytes they are,
// and what the rest is.
func (t *teller) take(g *guest, b []byte) (n int, rest form) {
	t.out, t.waits = t.out[:0], t.waits[:0]
	for n < len(b) {
		how := t.plain.read(b[n:])
		if how == whole {
			how = t.answer(g)
		}
		if how != whole {
			return n, how
		}
		n += t.plain.size
	}
	return n, whole
}

// Publications answers the publications that b begins with as an event loop does, and returns the answers, how many bytes
// of b they are to, and whether the rest may become another one. It is for those who hold the two ways in against each other.
func (g *Gate) Publications(b []byte) (answers []byte, n int, more bool) {
	t := &teller{gate: g, room: g.MaxPending}
	t.durable = t.admit
	t.today()
	n, rest := t.take(&guest{seat: &seat{}}, b)
	return t.out, n, rest == partial
}
