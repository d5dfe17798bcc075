package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/stats"
)

// refusedAtOnce demands that a new connection is answered and closed before it has sent anything.
func (g *rig) refusedAtOnce(status int) {
	g.Helper()
	nc := g.dial()
	defer nc.Close()
	r := bufio.NewReader(nc)
	a, err := readAnswer(r)
	if err != nil || a.StatusCode != status || a.Header.Get("Retry-After") == "" {
		g.Fatalf("a connection too many: %v %+v, want %d and Retry-After", err, a.Response, status)
	}
	if _, err := r.ReadByte(); err != io.EOF && !isReset(err) {
		g.Errorf("after the refusal: %v", err)
	}
}

// Connections in all: sessions and plain requests count alike, and a place that is left is taken again.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Connections = 5
	g := launch(t, cfg)
	idle := []net.Conn{g.dial(), g.dial()}
	g.sse("u1", "a").want("connected")
	socket := g.ws("u2")
	last := g.dial()
	g.until("all five are counted", func() bool { return g.relay.open() == 5 })
	for range 20 {
		g.refusedAtOnce(http.StatusServiceUnavailable)
	}
	if got := g.metric(`weir_connections_refused_total{limit="connections"}`); got != "20" {
		t.Errorf("refused %s, want 20", got)
	}
	if body := g.adminGet("/readyz"); !strings.Contains(body, "connection limit") {
		t.Errorf("ready at the limit: %s", body)
	}
	socket.alive()
	for _, nc := range append(idle, socket.nc, last) {
		_ = nc.Close()
	}
	g.until("the places are free", func() bool { return g.relay.open() == 1 })
	g.ws("u3").alive()
}

// A flood of connections is refused before memory is spent, and whoever is in stays in.
func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Connections = 20
	g := launch(t, cfg)
	p := g.ws("u1")
	for i := range 10_000 {
		nc, err := net.Dial("tcp", g.public)
		if err != nil {
			t.Fatal(err)
		}
		if i < 2000 { // these do not go away by themselves
			defer nc.Close()
		} else {
			_ = nc.Close()
		}
		if n := g.relay.open(); n > 21 { // one is being refused
			t.Fatalf("%d connections are open", n)
		}
	}
	p.alive()
}

// Connections of one address.
func TestConnectionsOfAnAddress(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.PerAddress = 2
	g := launch(t, cfg)
	p := g.ws("u1", "X-Forwarded-For: 198.51.100.1")
	q := g.ws("u2", "X-Forwarded-For: 198.51.100.2") // nobody believes that
	for range 3 {
		g.refusedAtOnce(http.StatusTooManyRequests)
	}
	p.alive()
	_ = p.nc.Close()
	g.until("the place is free", func() bool { return g.relay.open() == 1 })
	g.ws("u3").alive()
	q.alive()
}

// Behind a proxy that is trusted, the address is the one it forwards: the right-most that is not itself a
// trusted proxy's. What stands left of it is the client's invention.
func TestForwardedAddress(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.TrustedProxies = []string{"127.0.0.0/8", "10.1.0.0/16", "2001:db8::5"}
	cfg.Limit.PerAddress = 1
	g := launch(t, cfg)
	distrusting := launch(t, openConfig())
	for _, tt := range []struct {
		forwarded []string
		want      string
	}{
		{nil, "127.0.0.1"},
		{[]string{"203.0.113.7"}, "203.0.113.7"},
		{[]string{"1.1.1.1, 203.0.113.8"}, "203.0.113.8"},
		{[]string{"1.1.1.1", "203.0.113.9"}, "203.0.113.9"},
		{[]string{"1.1.1.1, 203.0.113.10, 10.1.2.3"}, "203.0.113.10"},
		{[]string{"203.0.113.11, 10.1.2.3, 2001:db8::5"}, "203.0.113.11"},
		{[]string{"203.0.113.12,10.2.0.1"}, "10.2.0.1"},
		{[]string{"10.1.2.3"}, "10.1.2.3"},
		{[]string{"evil"}, "127.0.0.1"},
		{[]string{"203.0.113.13, evil"}, "127.0.0.1"},
		{[]string{"203.0.113.14, 10.1.2.4, "}, "127.0.0.1"},
		{[]string{"203.0.113.15:1234"}, "203.0.113.15"},
		{[]string{"203.0.113.15:x"}, "127.0.0.1"},
		{[]string{" 2001:db8:0:7::1 "}, "2001:db8:0:7::1"},
		{[]string{"::ffff:203.0.113.16"}, "203.0.113.16"},
		{[]string{"203.0.113.17\x1b[31m"}, "127.0.0.1"},
	} {
		var lines []string
		for _, f := range tt.forwarded {
			lines = append(lines, "X-Forwarded-For: "+f)
		}
		if strings.Contains(fmt.Sprint(lines), "\x1b") {
			if a := g.shake("/ws", append(lines, "Authorization: Bearer "+mint(t, "u1"))...); a.StatusCode != 400 {
				t.Errorf("%q: %d", lines, a.StatusCode)
			}
			continue
		}
		for _, x := range []struct {
			*rig
			want string
		}{{g, tt.want}, {distrusting, "127.0.0.1"}} {
			p := x.ws("u1", lines...)
			s := x.relay.sessions.Session(p.hello.ConnectionID)
			if s == nil || s.Address() != x.want {
				t.Fatalf("%q: address %v, want %s", tt.forwarded, s, x.want)
			}
			_ = p.nc.Close()
			x.until("the session ends", func() bool { return x.relay.sessions.Len() == 0 })
		}
	}
	// The limit is on that address, whatever is put in front of it; other addresses have places of their own.
	p := g.ws("u1", "X-Forwarded-For: 203.0.113.7")
	token := "Authorization: Bearer " + mint(t, "u1")
	for _, f := range []string{"203.0.113.7", "9.9.9.9, 203.0.113.7", "203.0.113.7, 10.1.9.9"} {
		if a := g.shake("/ws", "X-Forwarded-For: "+f, token); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", f, a.StatusCode, a.Header)
		}
		if a := g.ask("GET", "/sse?channel=a", "", "X-Forwarded-For: "+f, token); a.StatusCode != 429 {
			t.Errorf("%s: /sse: %d", f, a.StatusCode)
		}
	}
	g.ws("u1", "X-Forwarded-For: 203.0.113.8").alive()
	_ = p.nc.Close()
	g.until("the place is free", func() bool { return g.relay.sessions.Len() == 1 })
	g.ws("u1", "X-Forwarded-For: 203.0.113.7").alive()
}

// Connections of one user, over both transports and with any token of theirs.
func TestConnectionsOfAUser(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.PerUser = 2
	g := launch(t, cfg)
	p := g.ws("u1")
	q := g.sse("u1", "a")
	q.want("connected")
	token := "Authorization: Bearer " + mintClaims(t, auth.Claims{Sub: "u1", Name: "another token"})
	for range 3 {
		if a := g.shake("/ws", token); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
			t.Fatalf("/ws: %d %s", a.StatusCode, a.Header)
		}
		if a := g.ask("GET", "/sse?channel=a", "", token); a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
			t.Fatalf("/sse: %d %s", a.StatusCode, a.Header)
		}
	}
	g.ws("u2").alive()
	p.alive()
	_ = p.nc.Close()
	_ = q.nc.Close()
	g.until("the places are free", func() bool { return g.relay.sessions.Count("u1") == 0 })
	g.ws("u1").alive()
	g.ws("u1").alive()
	if a := g.shake("/ws", token); a.StatusCode != 429 {
		t.Errorf("the third again: %d", a.StatusCode)
	}
}

// Subscriptions of one connection, however they are asked for.
func TestSubscribeFlood(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Subscriptions = 10
	cfg.Limit.Commands.Count, cfg.Limit.Commands.Per = 1<<30, 1e9
	g := launch(t, cfg)
	p := g.ws("u1")
	go func() { // ends when all is sent: the answers are read below
		for i := range 1000 {
			var b strings.Builder
			for j := range 100 {
				fmt.Fprintf(&b, `,{"type":"subscribe","channel":"flood:%d"}`, i*100+j)
			}
			p.say("[" + b.String()[1:] + "]")
		}
	}()
	in, refused := 0, 0
	for in+refused < 100_000 {
		_, b, err := p.frame()
		switch {
		case err != nil:
			t.Fatalf("after %d and %d: %v", in, refused, err)
		case len(b) == 0: // a ping
		case strings.Contains(string(b), `"type":"subscribed"`):
			in++
		case strings.Contains(string(b), `"code":"too_many"`):
			refused++
		default:
			t.Fatalf("%s", b)
		}
	}
	if in != 10 {
		t.Errorf("%d subscriptions, want 10", in)
	}
	p.say(`{"type":"unsubscribe","channel":"flood:3"}`, `{"type":"subscribe","channel":"flood:77"}`)
	p.want("ok")
	p.want("subscribed")
	if n := g.relay.hub.Broker.Stats().Channels; n > 30 { // ten, the user's own, and those of presence
		t.Errorf("%d channels are left behind", n)
	}
	if s := g.adminGet("/metrics"); strings.Contains(s, "flood") || strings.Count(s, "\n") > 1000 {
		t.Errorf("a channel is a label, or there are too many samples: %d", strings.Count(s, "\n"))
	}
	if h := g.sse("u1", strings.Split("a b c d e f g h i j k", " ")...).want("unsubscribed"); h.Channel != "k" || h.Code != "too_many" {
		t.Errorf("an event stream of too many channels: %s", h.raw)
	}
}

// Short of memory, the relay takes no new sessions and says so; those that are there go on.
func TestMemoryIsShort(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	p := g.ws("u1")
	p.say(`{"type":"subscribe","channel":"a"}`)
	p.want("subscribed")
	g.relay.hub.Memory.Use.Store(stats.MemoryShort)
	token := "Authorization: Bearer " + mint(t, "u2")
	for name, a := range map[string]answered{"/ws": g.shake("/ws", token), "/sse": g.ask("GET", "/sse?channel=a", "", token)} {
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, `"overloaded"`) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if body := g.adminGet("/readyz"); !strings.Contains(body, "memory") {
		t.Errorf("ready: %s", body)
	}
	g.publish(`{"channel":"a","data":1}`)
	p.want("channel_update")
	g.relay.hub.Memory.Use.Store(0)
	g.ws("u2").alive()
}
