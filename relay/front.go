package relay

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// The front stands between the door and the HTTP server. A connection that has nothing to say waits at one of
// its desks, which is an epoll set and one goroutine, so that it costs neither a goroutine nor buffers; plain
// publications are answered there. With the first request that is anything else the connection goes on to the
// HTTP server, with every byte that has come of it, and stays there.

// lane leads connections from the front to the HTTP server: it is the listener that the server is given.
type lane struct {
	addr   net.Addr
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newLane(addr net.Addr) *lane {
	return &lane{addr: addr, queue: make(chan net.Conn, 256), closed: make(chan struct{})}
}

// put hands a connection over. Once the lane is closed it closes the connection instead.
func (l *lane) put(c net.Conn) {
	select {
	case <-l.closed:
	case l.queue <- c:
		select {
		case <-l.closed:
			_ = l.Close() // which may have looked at the queue before
		default:
		}
		return
	}
	_ = c.Close()
}

// Accept implements net.Listener.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that nobody has accepted are closed.
func (l *lane) Close() error {
	l.once.Do(func() { close(l.closed) })
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (l *lane) Addr() net.Addr { return l.addr }

// teller answers plain requests. It belongs to one goroutine.
type teller struct {
	relay *Relay
	plain plain
	out   []byte // answers that are to be sent
	date  []byte // of answers, and in which second that was
	at    int64
}

// answer answers the plain request that t has read. It answers false, with nothing done, if the HTTP server is to
// see it: a stranger's, and what may have to wait for the disk.
func (t *teller) answer(g *guest) bool {
	r, p := t.relay, &t.plain
	if r.cfg.Dev && !r.localName(p.host, g) || p.size > int(r.cfg.Limit.Request) {
		return false
	}
	if p.key == nil || !r.keys.Known(p.key, &g.key) {
		return false
	}
	if !g.known.Load() {
		g.known.Store(true)
	}
	lines, ok := publication(p.kind)
	if !ok || lines && r.disk != nil {
		return false
	}
	k := r.publisher()
	defer k.release()
	if lines {
		k.lines(r, p.body)
		t.respond(fasthttp.StatusOK, "application/x-ndjson", k.out)
		return true
	}
	k.prompt = true
	var err error
	if k.out, err = k.publish(r, k.out, p.body); err == nil {
		t.respond(fasthttp.StatusOK, "application/json", k.out)
		return true
	}
	f := faultOf(err)
	if f == faultInternal { // errWaits, too
		return false
	}
	t.respond(f.status, "application/problem+json", f.appendProblem(k.out[:0]))
	return true
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
	if status == fasthttp.StatusServiceUnavailable || status == fasthttp.StatusTooManyRequests {
		b = append(b, "\r\nRetry-After: 1"...)
	}
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	t.out = append(append(b, "\r\n\r\n"...), body...)
	t.relay.metrics.classes[status/100].Inc()
}

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
	for n < len(b) {
		how := t.plain.read(b[n:])
		if how == whole && !t.answer(g) {
			how = foreign
		}
		if how != whole {
			return n, how
		}
		n += t.plain.size
	}
	return n, whole
}

// caught ends a panic in a plain request: it is logged once, counted, and costs its connection.
func (r *Relay) caught(then func()) {
	if v := recover(); v != nil {
		r.metrics.panics.Inc()
		r.log.Error("panic in a request", slog.String("path", publishPath), slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		then()
	}
}
