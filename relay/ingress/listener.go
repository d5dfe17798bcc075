package ingress

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listener accepts connections. It stands between the listening socket and the HTTP server, which would give
// up the listener at the first failed accept and knows no bounds that include upgraded connections.
type listener struct {
	net.Listener
	gate  *Gate
	limit int64  // connections in all
	bound string // what says so

	reaper    reaper
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

// BusyAnswer is the whole answer to a connection that is one too many; it is sent before anything is read.
const BusyAnswer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// TooManyAnswer is the answer to an address that has too many connections.
const TooManyAnswer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// Accept implements net.Listener. It returns an error only when the listener is closed.
func (d *listener) Accept() (net.Conn, error) {
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

// admit counts a connection in, or refuses it and returns nil.
func (d *listener) admit(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok { // a listener of tests, in memory
		return nc
	}
	in := d.gate
	if d.open.Add(1) > d.limit {
		d.open.Add(-1)
		d.refuse(tcp, BusyAnswer, d.bound)
		return nil
	}
	peer := PeerAddress(tcp.RemoteAddr())
	g := &Conn{TCPConn: tcp, listener: d, address: AddressKey(peer)}
	if g.counted = in.hub.Config.Limit.PerAddress > 0 && !in.Trusted(peer); g.counted && !in.Addresses.Take(g.address, in.hub.Config.Limit.PerAddress) {
		d.open.Add(-1)
		d.refuse(tcp, TooManyAnswer, "per_address")
		return nil
	}
	d.reaper.add(g)
	return g
}

func (d *listener) refuse(tcp *net.TCPConn, answer, reason string) {
	d.gate.hub.Counters.Refused.Of(reason).Inc()
	if d.gate.tls == nil {
		_ = tcp.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // the buffer of a new socket is empty
		_, _ = tcp.Write([]byte(answer))
	}
	_ = tcp.Close()
}

// Close implements net.Listener.
func (d *listener) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Listener.Close()
}
