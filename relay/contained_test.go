package relay

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/internal/contain"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
)

// throwOnce panics once at each of some places, and answers what is left of them.
func throwOnce(t *testing.T, places ...string) (left func() int) {
	t.Helper()
	var mu sync.Mutex
	contain.Throw(func(where string) {
		mu.Lock()
		i := slices.Index(places, where)
		if i >= 0 {
			places = slices.Delete(places, i, i+1)
		}
		mu.Unlock()
		if i >= 0 {
			panic("thrown by the test at " + where)
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	return func() int { mu.Lock(); defer mu.Unlock(); return len(places) }
}

// The watch of the certificate goes on after a panic.
func TestPanicOfTheCertificateWatch(t *testing.T) {
	left := throwOnce(t, "certificate watch")
	id := newIdentity(t, 1)
	cfg := openConfig()
	cfg.TLS = id.TLS
	g := launch(t, cfg, func(r *Relay) { r.gate.Timeouts.Reload = 10 * time.Millisecond })
	id.write(t, 2)
	g.until("the new certificate is served", func() bool {
		c, err := tls.Dial("tcp", g.public, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which one it is, is looked at below
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == 2
	})
	if left() != 0 || g.metric("weir_panics_total") != "1" {
		t.Errorf("%d places left, %s panics", left(), g.metric("weir_panics_total"))
	}
}

// A connection that cannot be sent away at once is sent away later, and so are those behind it.
func TestPanicOverAGuest(t *testing.T) {
	left := throwOnce(t, "expiry of a connection")
	g := launch(t, openConfig(), func(r *Relay) { r.gate.Timeouts.Request = 200 * time.Millisecond })
	for range 2 {
		nc := g.dial()
		_, _ = io.WriteString(nc, "GET / HT")
		if _, err := io.ReadAll(nc); err != nil && !isReset(err) {
			t.Fatal(err)
		}
	}
	if left() != 0 {
		t.Error("nobody has come there")
	}
}

// Side work that panics does not keep the relay from its end.
func TestPanicOfSideWork(t *testing.T) {
	left := throwOnce(t, "side work")
	g := launch(t, openConfig())
	done := make(chan struct{})
	g.relay.hub.Background(func() {})
	g.until("it has panicked", func() bool { return left() == 0 })
	g.relay.hub.Background(func() { close(done) })
	<-done
	if err := g.stop(); err != nil || left() != 0 || g.relay.hub.Counters.Panics.Get() != 1 {
		t.Error(err, left(), g.relay.hub.Counters.Panics.Get())
	}
}

// Turns go on when the pool that they run on has ended, also after a panic there.
func TestPanicOfATurn(t *testing.T) {
	g := launch(t, openConfig())
	p, other := g.ws("u1"), g.ws("u2")
	g.relay.sessions.Close()
	left := throwOnce(t, "turn")
	p.alive()
	other.alive()
	if left() != 0 {
		t.Error("nobody has come there")
	}
	p.say(`{"type":"subscribe","channel":"a"}`)
	g.publish(`{"channel":"a","data":1}`)
}

// A session that lingers is forgotten, also after a panic.
func TestPanicWhileLingering(t *testing.T) {
	left := throwOnce(t, "linger of a session")
	g := launch(t, openConfig())
	p := g.ws("u1")
	p.say(`{` + "\xff") // closed: it is no text
	chunk := clientFrame(wire.OpBinary, make([]byte, 1<<20))
	for left() > 0 {
		if _, err := p.nc.Write(chunk); err != nil {
			break
		}
	}
	_ = p.nc.Close()
	g.until("the session is gone", func() bool { return g.relay.sessions.Len() == 0 })
	if left() != 0 {
		t.Error("nobody has come there")
	}
}

// allowing decides that everybody may do everything, after it was asked.
type allowing struct{}

func (allowing) Authorize(*auth.Identity, auth.Ops, string) (hub.Decision, error) {
	return hub.Decision{}, nil
}

//nolint:revive // the interface's order
func (allowing) Cached(*auth.Identity, auth.Ops, string) (hub.Decision, error, bool) {
	return hub.Decision{}, nil, false
}
func (allowing) Forget(string, string)   {}
func (allowing) Name() string            { return "allowing" }
func (x allowing) Start(host Host) error { host.UseAuthorizer(x); return nil }
func (allowing) Close()                  {}

// A panic over a question about a channel costs that channel: the event stream goes without it, and is told.
func TestPanicOverAQuestion(t *testing.T) {
	left := throwOnce(t, "question")
	cfg := openConfig()
	cfg.Namespaces["asked"] = config.Namespace{Subscribe: config.ByWebhook}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := launchWith(t, cfg, ln, []System{allowing{}})
	f := g.follow("u1", "", "asked:a", "asked:b", "asked:c")
	bad := 0
	f.hear() // connected
	for range 3 {
		switch h := f.hear(); h.Type {
		case "subscribed":
		case "error":
			bad++
		default:
			t.Error(h.raw)
		}
	}
	if bad != 1 || left() != 0 {
		t.Errorf("%d of 3 are not known", bad)
	}
}

// A connection that a demo holds, and that cannot be let go, is closed.
func TestPanicOfAHold(t *testing.T) {
	left := throwOnce(t, "hold of a connection")
	g := open(t, func(c *config.Config) { c.Dev = true })
	c := g.client("u1")
	if a := g.ask("POST", "/demo/hold?ms=1&connection="+c.hello.ConnectionID, "", "Authorization: Bearer "+apiKey); a.StatusCode != 200 {
		t.Fatal(a.Status, a.body)
	}
	c.gone()
	if left() != 0 || g.metric("weir_panics_total") != "1" {
		t.Errorf("%d places left, %s panics", left(), g.metric("weir_panics_total"))
	}
}
