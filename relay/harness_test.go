package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/broker"
	"weir/internal/units"
	"weir/relay/auth"
	"weir/relay/config"
)

// What the tests' relays accept.
const (
	tokenSecret = "the secret that the tests sign their tokens with"
	apiKey      = "the-key-of-the-backend-in-the-tests"
)

// patience is how long a test waits for what must happen. It is no measure of how fast that is.
const patience = 2 * time.Minute

// rig is a relay on loopback listeners.
type rig struct {
	testing.TB
	relay  *Relay
	logs   *logbook
	public string // host:port
	admin  string
	stop   func() error // drains and waits; idempotent
}

// openConfig lets every client with a token follow and fill every channel, as fast as it can.
func openConfig() config.Config {
	free := config.Bounds{Rate: units.Rate{Count: 1 << 30, Per: time.Second}}
	return config.Config{
		Auth: config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: tokenSecret}}, Leeway: new(time.Duration(0))},
		API:  config.API{Keys: []config.APIKey{{Name: "backend", Secret: apiKey}}},
		Namespaces: config.Namespaces{
			"default": {Subscribe: config.Authenticated, Publish: config.Authenticated, Limit: free},
			"closed":  {Subscribe: config.Capability, Publish: config.Backend, Limit: free},
			"resync":  {Subscribe: config.Authenticated, Publish: config.Authenticated, Limit: free, Slow: config.Resync},
		},
		Heartbeat: time.Hour, // a test need not answer pings while it is about something else
		Drain:     time.Second,
	}
}

// launch starts a relay; each prepare changes it before it serves. It ends with the test.
func launch(t testing.TB, cfg config.Config, prepare ...func(*Relay)) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return launchOn(t, cfg, ln, prepare...)
}

// launchOn is launch on a public listener of the test's.
func launchOn(t testing.TB, cfg config.Config, ln net.Listener, prepare ...func(*Relay)) *rig {
	t.Helper()
	return launchWith(t, cfg, ln, nil, prepare...)
}

// launchWith is launchOn with systems.
func launchWith(t testing.TB, cfg config.Config, ln net.Listener, systems []System, prepare ...func(*Relay)) *rig {
	t.Helper()
	g := &rig{TB: t, logs: new(logbook)}
	r, err := New(cfg, slog.New(slog.NewJSONHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), systems...)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range prepare {
		f(r)
	}
	adm, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.relay, g.public, g.admin = r, ln.Addr().String(), adm.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.ServeOn(ctx, ln, adm) }() // ended by stop, which waits
	g.stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	<-r.Ready()
	return g
}

// logbook keeps what is logged.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// mint is a token of a user, good for an hour.
func mint(t testing.TB, user string) string { return mintClaims(t, auth.Claims{Sub: user}) }

func mintClaims(t testing.TB, c auth.Claims) string {
	t.Helper()
	token, err := auth.Mint(tokenSecret, "", c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// until waits for a condition.
func (g *rig) until(what string, ok func() bool) {
	g.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			g.Fatalf("never happened: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// channels lists channels.
func (g *rig) channels(prefix, after string, limit int) []broker.Info {
	g.Helper()
	infos, err := g.relay.hub.Broker.Channels(prefix, after, limit)
	if err != nil {
		g.Fatal(err)
	}
	return infos
}

// dial opens a connection to the public listener. It ends with the test.
func (g *rig) dial() net.Conn {
	g.Helper()
	nc, err := net.Dial("tcp", g.public)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc
}

// answered is a response with its body read.
type answered struct {
	*http.Response
	body string
}

// raw sends bytes on a connection of their own and reads responses until the relay closes it. A
// connection that is not closed fails the test.
func (g *rig) raw(request string) []answered {
	g.Helper()
	nc := g.dial()
	defer nc.Close()
	go func() { _, _ = io.WriteString(nc, request) }() // ends with the connection
	var list []answered
	for r := bufio.NewReader(nc); ; {
		if _, err := r.Peek(1); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				g.Errorf("the connection stays open after %.60q", request)
			}
			return list
		}
		a, err := readAnswer(r)
		if err != nil {
			g.Errorf("answer to %.60q: %v", request, err)
			return list
		}
		list = append(list, a)
	}
}

func readAnswer(r *bufio.Reader) (answered, error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return answered{resp, ""}, nil
	}
	b, err := io.ReadAll(resp.Body)
	return answered{resp, string(b)}, err
}

// ask makes one request on a connection of its own. Lines are header lines; a body brings its length.
func (g *rig) ask(method, target, body string, lines ...string) answered {
	g.Helper()
	nc := g.dial()
	defer nc.Close()
	return g.askOn(nc, method, target, body, lines...)
}

func (g *rig) askOn(nc net.Conn, method, target, body string, lines ...string) answered {
	g.Helper()
	req := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, g.public)
	for _, l := range lines {
		req += l + "\r\n"
	}
	if body != "" {
		req += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if _, err := io.WriteString(nc, req+"\r\n"+body); err != nil {
		g.Fatal(err)
	}
	a, err := readAnswer(bufio.NewReader(nc))
	if err != nil {
		g.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

// api makes a request with the backend's key and demands a status.
func (g *rig) api(status int, method, target, body string) answered {
	g.Helper()
	a := g.ask(method, target, body, "Authorization: Bearer "+apiKey)
	if a.StatusCode != status {
		g.Fatalf("%s %s: %d %s, want %d", method, target, a.StatusCode, a.body, status)
	}
	return a
}

// publish publishes as the backend.
func (g *rig) publish(body string) { g.Helper(); g.api(200, "POST", "/v1/publish", body) }

// metric is the value of a sample on the admin listener; "" if there is none.
func (g *rig) metric(name string) string {
	g.Helper()
	for line := range strings.Lines(g.adminGet("/metrics")) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (g *rig) adminGet(path string) string {
	g.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + g.admin + path)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	return string(b)
}

// message is what the relay says, on either transport.
type message struct {
	Type, Code, Channel, UserID, ConnectionID, Message, Reason, Op string
	ID                                                             json.RawMessage
	Recovered, Retryable, Lost                                     bool
	Seq                                                            uint64
	ExpiresAt                                                      int64
	Data                                                           json.RawMessage
	State                                                          map[string]map[string]json.RawMessage
	Messages                                                       []message
	Changes                                                        []message
	Position                                                       struct {
		Epoch string
		Seq   uint64
	}
	raw string
}

func parseMessage(t testing.TB, b []byte) message {
	t.Helper()
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("the relay said %q: %v", b, err)
	}
	m.raw = string(b)
	return m
}

// publishOne makes one publication as a backend does.
func (r *Relay) publishOne(dst, body []byte) ([]byte, error) {
	p := r.hub.Publisher()
	defer p.Release()
	return p.Publish(r.hub, dst, body)
}
