package relay_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/analytics"
	"weir/relay/systems/chat"
	"weir/relay/systems/documents"
	"weir/relay/systems/feed"
	"weir/relay/systems/notify"
	"weir/relay/systems/presence"
	"weir/relay/systems/webhook"
)

// route is an address that takes WebSockets.
type route struct {
	path    string
	admin   bool
	ask     func(n int, pad string) []byte // a message
	answers func(n int, b []byte) bool     // whether b is the answer to the n-th
	binary  bool
}

// routes are all of them.
func routes() []route {
	ping := func(n int, pad string) []byte { return fmt.Appendf(nil, `{"type":"ping","id":%d,"pad":"%s"}`, n, pad) }
	pong := func(n int, b []byte) bool {
		var m struct {
			Type string
			ID   *int
		}
		return json.Unmarshal(b, &m) == nil && m.Type == "pong" && m.ID != nil && *m.ID == n
	}
	return []route{
		{path: "/ws", ask: ping, answers: pong},
		{path: "/analytics/live", ask: ping, answers: pong},
		{path: "/analytics/live", admin: true, ask: ping, answers: pong},
		{path: "/documents/a/collaborate", ask: ping, answers: pong},
		{path: "/documents/opaque/b", ask: ping, answers: pong},
		{
			path: "/documents/sharedb",
			ask: func(n int, pad string) []byte {
				return fmt.Appendf(nil, `{"a":"f","c":"none","d":"d%d","x":"%s"}`, n, pad)
			},
			answers: func(n int, b []byte) bool { return bytes.Contains(b, fmt.Appendf(nil, `"d":"d%d"`, n)) },
		},
		{
			path: "/documents/yjs/c", binary: true,
			// What it lacks of those that have so many clocks: of nobody, there is nothing.
			ask: func(_ int, pad string) []byte {
				n := min(len(pad), 60) // the length is one byte
				return append([]byte{0, 0, byte(1 + 2*n), byte(n)}, bytes.Repeat([]byte{1, 0}, n)...)
			},
			answers: func(_ int, b []byte) bool { return bytes.HasPrefix(b, []byte{0, 1}) },
		},
	}
}

// crew is a relay with all systems that upgrade.
type crew struct {
	testing.TB
	relay         *relay.Relay
	public, admin string
	tls           bool
	read          int // bytes of frames, by the relay
}

func newCrew(t *testing.T, secure bool) *crew {
	cfg := relay.OpenConfig()
	cfg.Compression = true
	cfg.Heartbeat = time.Hour
	cfg.Limit.PerUser, cfg.Limit.Commands = 1<<20, units.Rate{Count: 1 << 30, Per: time.Second}
	cfg.Limit.Pings = cfg.Limit.Commands
	if secure {
		cfg.TLS = relay.NewCertificate(t)
	}
	r, err := relay.New(cfg, slog.New(slog.DiscardHandler), chat.New(), presence.New(), feed.New(), notify.New(), documents.New(), analytics.New(), webhook.New())
	if err != nil {
		t.Fatal(err)
	}
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.ServeOn(ctx, public, admin) }() // ended below
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	<-r.Ready()
	return &crew{TB: t, relay: r, public: public.Addr().String(), admin: admin.Addr().String(), tls: secure}
}

// guest is a client of one of the routes.
type guest struct {
	testing.TB
	crew  *crew
	route route
	nc    net.Conn
	next  func() (byte, []byte, error)
}

func (c *crew) connect(t testing.TB, to route, token string) *guest {
	addr := c.public
	if to.admin {
		addr = c.admin
	}
	nc, err := net.Dial("tcp", addr)
	if err == nil && c.tls && !to.admin {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	request := relay.Upgrade(addr, to.path, "Authorization: Bearer "+token, "Sec-WebSocket-Extensions: permessage-deflate")
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	return &guest{t, c, to, nc, relay.FramesOf(t, nc)}
}

// say sends bytes with pauses at cuts, each of which the relay sees.
func (g *guest) say(b []byte, cuts ...int) {
	g.Helper()
	from := 0
	for _, to := range append(cuts, len(b)) {
		if to <= from {
			continue
		}
		if _, err := g.nc.Write(b[from:to]); err != nil {
			g.Fatal(err)
		}
		g.crew.read += to - from
		g.crew.relay.Pause(g, g.crew.read)
		from = to
	}
}

// hear demands the answers to so many messages, and to pings, each in their order.
func (g *guest) hear(messages int, pings []string) {
	g.Helper()
	for n, ponged := 0, 0; n < messages || ponged < len(pings); {
		first, payload, err := g.next()
		switch {
		case err != nil:
			g.Fatalf("%d of %d answers: %v", n, messages, err)
		case first&0x0f == wire.OpClose:
			g.Fatalf("%d of %d answers, then closed: %q", n, messages, payload)
		case first&0x0f == wire.OpPong:
			if ponged == len(pings) || string(payload) != pings[ponged] {
				g.Fatalf("pong %d is %q, want one of %q", ponged, payload, pings)
			}
			ponged++
		case g.route.answers(n, payload):
			n++
		}
	}
}

// A sequence of frames, cut anywhere by pauses, reads as the whole: on every route, plain and over TLS, compressed
// and not. The relay goes through the end of a turn in each of the pauses.
func TestPauses(t *testing.T) {
	token := relay.MintClaims(t, auth.Claims{Sub: "u1", Roles: []string{auth.RoleAdmin}, Channels: map[string][]string{"document:*": {"subscribe", "publish"}}})
	for _, secure := range []bool{false, true} {
		c := newCrew(t, secure)
		for _, to := range routes() {
			if secure && to.admin {
				continue // it has none
			}
			t.Run(fmt.Sprintf("%s,admin=%t,tls=%t", to.path, to.admin, secure), func(t *testing.T) {
				everyCut(t, c, to, token)
				if !secure || to.path == "/ws" { // the rest is the same for all
					rapid.Check(t, func(rt *rapid.T) { anyCuts(rt, t, c, to, token) })
				}
			})
		}
	}
}

// everyCut makes one pause, at each place of a message in fragments with a ping between them.
func everyCut(t *testing.T, c *crew, to route, token string) {
	op, compressed := wire.OpText, byte(0)
	if to.binary {
		op = wire.OpBinary
	}
	whole := to.ask(0, "some")
	if !to.admin { // there is no compression there
		whole, compressed = relay.Deflated(t, whole), 0x40
	}
	b := relay.ClientFrame(op|compressed, whole[:2])
	b = append(b, relay.ClientFrame(0x80|wire.OpPing, []byte("in between"))...)
	b = append(b, relay.ClientFrame(0, nil)...)
	b = append(b, relay.ClientFrame(0x80, whole[2:])...)
	g := c.connect(t, to, token)
	defer g.nc.Close()
	for cut := range len(b) {
		g.say(b, cut)
		g.hear(1, []string{"in between"})
	}
}

// anyCuts makes pauses in a sequence that rapid makes up.
func anyCuts(rt *rapid.T, t *testing.T, c *crew, to route, token string) {
	var b []byte
	var pings []string
	ping := func() {
		if !rapid.Bool().Draw(rt, "ping") {
			return
		}
		p := rapid.StringMatching(`[a-z]{0,20}`).Draw(rt, "payload")
		pings = append(pings, p)
		b = append(b, relay.ClientFrame(0x80|wire.OpPing, []byte(p))...)
	}
	messages := rapid.IntRange(1, 4).Draw(rt, "messages")
	for n := range messages {
		size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(100, 300), rapid.IntRange(3000, 9000)).Draw(rt, "size")
		payload, first := to.ask(n, strings.Repeat("x", size)), wire.OpText
		if to.binary {
			first = wire.OpBinary
		}
		if !to.admin && rapid.Bool().Draw(rt, "compressed") {
			payload, first = relay.Deflated(t, payload), first|0x40
		}
		ping()
		for rapid.Bool().Draw(rt, "more fragments") {
			k := rapid.IntRange(0, len(payload)).Draw(rt, "fragment")
			b = append(b, relay.ClientFrame(first, payload[:k])...)
			payload, first = payload[k:], 0
			ping()
		}
		b = append(b, relay.ClientFrame(0x80|first, payload)...)
	}
	cuts := rapid.SliceOfN(rapid.IntRange(0, len(b)), 0, 6).Draw(rt, "cuts")
	g := c.connect(t, to, token)
	defer g.nc.Close()
	g.TB = rapidTB{t, rt}
	slices.Sort(cuts)
	g.say(b, cuts...)
	g.hear(messages, pings)
}

// rapidTB lets what fails in a check be made smaller.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (t rapidTB) Fatal(args ...any)                 { t.rt.Helper(); t.rt.Fatal(args...) }
func (t rapidTB) Fatalf(format string, args ...any) { t.rt.Helper(); t.rt.Fatalf(format, args...) }
