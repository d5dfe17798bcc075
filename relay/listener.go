package relay

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// door accepts connections. It stands between the listening socket and the HTTP server, which would give
// up the listener at the first failed accept and knows no bounds that include upgraded connections.
type door struct {
	net.Listener
	gate  *Gate
	limit int64  // connections in all
	bound string // what says so

	lobby     lobby
	open      atomic.Int64
	exhausted atomic.Bool // the last accept failed for want of descriptors
	closed    chan struct{}
	once      sync.Once
}

// The pauses after an accept that failed for want of something: they double from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// refusal is the whole answer to a connection that is one too many; it is sent before anything is read.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// refusalMany is the answer to an address that has too many connections.
const refusalMany = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// Accept implements net.Listener. It returns an error only when the listener is closed.
func (d *door) Accept() (net.Conn, error) {
	pause := firstPause
	for {
		nc, err := d.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			d.exhausted.Store(errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE))
			d.gate.hub.Counters.AcceptErrors.Inc()
			d.gate.hub.Log.Warn("accept failed", slog.String("error", err.Error()), slog.Duration("pause", pause))
			select {
			case <-time.After(pause):
			case <-d.closed:
				return nil, net.ErrClosed
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		d.exhausted.Store(false)
		if c := d.admit(nc); c != nil {
			return c, nil
		}
	}
}

// admit counts a connection in, or refuses it and answers nil.
func (d *door) admit(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok { // a listener of tests, in memory
		return nc
	}
	in := d.gate
	if d.open.Add(1) > d.limit {
		d.open.Add(-1)
		d.refuse(tcp, refusal, d.bound)
		return nil
	}
	peer := peerAddress(tcp.RemoteAddr())
	g := &guest{TCPConn: tcp, door: d, address: addressKey(peer)}
	if g.counted = in.hub.Config.Limit.PerAddress > 0 && !in.trusted(peer); g.counted && !in.addresses.take(g.address, in.hub.Config.Limit.PerAddress) {
		d.open.Add(-1)
		d.refuse(tcp, refusalMany, "per_address")
		return nil
	}
	d.lobby.enter(g)
	return g
}

func (d *door) refuse(tcp *net.TCPConn, answer, reason string) {
	d.gate.hub.Counters.Refused.Of(reason).Inc()
	if d.gate.tls == nil {
		_ = tcp.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // the buffer of a new socket is empty
		_, _ = tcp.Write([]byte(answer))
	}
	_ = tcp.Close()
}

// Close implements net.Listener.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}
