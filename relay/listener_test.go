package relay

import (
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/internal/wire"
)

// failingListener fails now and then.
type failingListener struct {
	net.Listener
	fail atomic.Int32 // how often from now on
	err  error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.fail.Load() > 0 {
		l.fail.Add(-1)
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: l.err}
	}
	return l.Listener.Accept()
}

// Being out of descriptors, or a client that has gone before it was accepted, does not end the listener
// (the HTTP server would give it up), harms nobody who is in, and is over when it is over.
func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, errors.New("something else")} {
		ln, lerr := net.Listen("tcp", "127.0.0.1:0")
		if lerr != nil {
			t.Fatal(lerr)
		}
		failing := &failingListener{Listener: ln, err: err}
		g := launchOn(t, openConfig(), failing)
		p := g.ws("u1")
		failing.fail.Store(4)
		waiting := g.dial() // wakes the accept that runs, the next ones fail
		g.until("the accepts have failed", func() bool { return failing.fail.Load() == 0 })
		p.alive()
		if a := g.askOn(waiting, "GET", "/weir.js", ""); a.StatusCode != 200 {
			t.Errorf("%v: a connection that waited: %d", err, a.StatusCode)
		}
		q := g.ws("u2")
		q.alive()
		if n := g.metric("weir_accept_errors_total"); n != "4" {
			t.Errorf("%v: %s errors are counted, want 4", err, n)
		}
		if body := g.adminGet("/readyz"); body != "ready\n" {
			t.Errorf("%v: afterwards %s", err, body)
		}
		if n := strings.Count(g.logs.String(), "accept failed"); n != 4 {
			t.Errorf("%v: logged %d times", err, n)
		}
		for _, nc := range []net.Conn{waiting, p.nc, q.nc} {
			_ = nc.Close()
		}
		g.until("everybody has gone", func() bool { return g.relay.open() == 0 })
		failing.fail.Store(1 << 30) // and a stop is not held up by a pause
		_ = g.dial().Close()
		if err := g.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

// While there are no descriptors the relay says that it is not ready.
func TestNotReadyWithoutDescriptors(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: ln, err: syscall.EMFILE}
	g := launchOn(t, openConfig(), failing)
	failing.fail.Store(1 << 30)
	g.dial()
	g.until("the relay is not ready", func() bool { return strings.Contains(g.adminGet("/readyz"), "descriptors") })
	if body := g.adminGet("/healthz"); body != "alive\n" {
		t.Errorf("it lives all the same: %q", body)
	}
	failing.fail.Store(0)
	g.until("it is ready again", func() bool {
		g.dial()
		return g.adminGet("/readyz") == "ready\n"
	})
}

// Ending a user's sessions while they connect leaves none behind, and never a close before the answer to
// the handshake.
func TestEndWhileConnecting(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.TrustedProxies, cfg.Limit.PerAddress = []string{"127.0.0.1"}, 1000
	g := launch(t, cfg)
	var done atomic.Bool
	var ending sync.WaitGroup
	for range 2 {
		ending.Go(func() { // ends with done
			for !done.Load() {
				g.relay.sessions.Disconnect("u1", "", "test")
			}
		})
	}
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { // ends after some rounds
			for range 50 {
				if i%2 == 0 {
					p := g.ws("u1", "X-Forwarded-For: 203.0.113.9")
					if i == 2 {
						_ = p.nc.Close() // at once, so that its session may be over before it was entered
						continue
					}
					p.wantClose(wire.CloseForbidden)
					continue
				}
				s := g.sse("u1", "a", "b")
				if e := s.event(); e.name != "connected" {
					t.Errorf("the first event is %+v", e)
				}
				_ = s.nc.Close()
			}
		})
	}
	clients.Wait()
	done.Store(true)
	ending.Wait()
	g.until("all sessions are gone", func() bool { return g.relay.sessions.Len() == 0 && g.relay.open() == 0 })
	if n := g.relay.sessions.Leftovers(); n > 0 {
		t.Errorf("%d entries are left", n)
	}
	if n := g.relay.gate.Counted(); n > 0 {
		t.Errorf("%d addresses are left", n)
	}
}

// A relay that drains while clients connect lets each of them in and out again, or refuses it, and ends.
func TestDrainWhileConnecting(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	var clients sync.WaitGroup
	token := mint(t, "u1")
	var in atomic.Int32
	for range 8 {
		clients.Go(func() { // ends when the relay no longer listens
			for {
				nc, err := net.Dial("tcp", g.public)
				if err != nil {
					return
				}
				_ = nc.SetDeadline(time.Now().Add(patience))
				_, _ = nc.Write([]byte(upgrade(g.public, "/ws", "Authorization: Bearer "+token)))
				p := newPeer(t, nc)
				a, err := readAnswer(p.r)
				if err == nil && a.StatusCode == 101 {
					in.Add(1)
					for {
						first, payload, err := p.frame()
						if err != nil {
							t.Errorf("a session ends without a close: %v", err)
							break
						}
						if first&0x0f == wire.OpClose {
							if !strings.Contains(string(payload), "retry=") {
								t.Errorf("closed with %q", payload)
							}
							break
						}
					}
				} else if err == nil && a.StatusCode != 503 {
					t.Errorf("refused with %d", a.StatusCode)
				}
				_ = nc.Close()
				if g.relay.sessions.Draining() {
					return
				}
			}
		})
	}
	g.until("some are in", func() bool { return in.Load() >= 8 })
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	clients.Wait()
	if n := g.relay.sessions.Len(); n > 0 {
		t.Errorf("%d sessions are left", n)
	}
}
