package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/internal/keyfile"
	"weir/relay/config"
)

// door accepts connections. It stands between the listening socket and the HTTP server, which would give
// up the listener at the first failed accept and knows no bounds that include upgraded connections.
type door struct {
	net.Listener
	relay *Relay
	limit int64  // connections in all
	bound string // what says so

	lobby     lobby
	open      atomic.Int64
	exhausted atomic.Bool // the last accept failed for want of descriptors
	closed    chan struct{}
	once      sync.Once
}

// waits is how long the relay waits for others. Tests wait less.
type waits struct {
	request  time.Duration // for a request, from its first byte on, or from when the connection was accepted
	stranger time.Duration // for the next request of a client that has shown no API key
	reload   time.Duration // between two looks at the files of the certificate
}

func usualWaits() waits {
	return waits{request: 5 * time.Second, stranger: 10 * time.Second, reload: 5 * time.Second}
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
			d.relay.hub.Counters.AcceptErrors.Inc()
			d.relay.hub.Log.Warn("accept failed", slog.String("error", err.Error()), slog.Duration("pause", pause))
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
	r := d.relay
	if d.open.Add(1) > d.limit {
		d.open.Add(-1)
		d.refuse(tcp, refusal, d.bound)
		return nil
	}
	peer := peerAddress(tcp.RemoteAddr())
	g := &guest{TCPConn: tcp, door: d, address: addressKey(peer)}
	if g.counted = r.hub.Config.Limit.PerAddress > 0 && !r.trusted(peer); g.counted && !r.addresses.take(g.address, r.hub.Config.Limit.PerAddress) {
		d.open.Add(-1)
		d.refuse(tcp, refusalMany, "per_address")
		return nil
	}
	d.lobby.enter(g)
	return g
}

func (d *door) refuse(tcp *net.TCPConn, answer, reason string) {
	d.relay.hub.Counters.Refused.Of(reason).Inc()
	if d.relay.tls == nil {
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

// certificate is the relay's TLS certificate, read again when its files change.
type certificate struct {
	cert, key string
	log       *slog.Logger
	current   atomic.Pointer[tls.Certificate]
	stamp     atomic.Int64
}

func newCertificate(t config.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: t.Cert, key: t.Key, log: log}
	return c, c.load()
}

func (c *certificate) load() error {
	stamp := c.modified() // before they are read: what changes meanwhile is read again
	pair, err := keyfile.Certificate(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("load certificate %s: %w", c.cert, err)
	}
	c.stamp.Store(stamp)
	c.current.Store(&pair)
	return nil
}

// modified changes when either file does.
func (c *certificate) modified() int64 {
	var sum int64
	for _, name := range []string{c.cert, c.key} {
		if st, err := os.Stat(name); err == nil {
			sum += st.ModTime().UnixNano() + st.Size()
		}
	}
	return sum
}

// watch looks at the files every so often until ctx is done. A pair that does not load is logged and
// the old one stays.
func (c *certificate) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.modified() == c.stamp.Load() {
				continue
			}
			if err := c.load(); err != nil {
				c.log.Error("certificate not reloaded", slog.String("error", err.Error()))
				continue
			}
			c.log.Info("certificate reloaded")
		}
	}
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
