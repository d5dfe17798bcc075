package relaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
)

const (
	secret = "the secret that the tests sign their tokens with"
	key    = Key
)

// Key is the API key of the backend.
const Key = "the-key-of-the-backend-in-the-tests"

// Patience is how long a test waits for what must happen. It is no measure of how fast that is.
const Patience = 2 * time.Minute

// Rig is a relay that serves.
type Rig struct {
	testing.TB
	URL   string // of the public listener
	Admin string // of the admin listener
	logs  *logs
	stop  func()
	relay *relay.Relay
	cfg   config.Config
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// Start starts a relay with systems. Clients with a token may follow and fill every channel of the default
// namespace; prepare changes that and everything else.
func Start(t testing.TB, prepare func(*config.Config), systems ...relay.System) *Rig {
	t.Helper()
	return StartOn(t, listen(t), prepare, systems...)
}

// StartOn is Start with a listener of the test's own, such as one in memory.
func StartOn(t testing.TB, ln net.Listener, prepare func(*config.Config), systems ...relay.System) *Rig {
	t.Helper()
	free := config.Bounds{Rate: units.Rate{Count: 1 << 30, Per: time.Second}}
	cfg := config.Config{
		Auth:       config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: secret}}, Leeway: new(time.Duration(0))},
		API:        config.API{Keys: []config.APIKey{{Name: "backend", Secret: key}}},
		Namespaces: config.Namespaces{"default": {Subscribe: config.Authenticated, Publish: config.Authenticated, Limit: free}},
		Limit:      config.Limit{Commands: units.Rate{Count: 1 << 30, Per: time.Second}},
		Drain:      time.Second,
	}
	if prepare != nil {
		prepare(&cfg)
	}
	g := &Rig{TB: t, logs: new(logs)}
	r, err := relay.New(cfg, slog.New(slog.NewTextHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), systems...)
	if err != nil {
		t.Fatal(err)
	}
	g.relay, g.cfg = r, cfg
	adm := listen(t)
	g.URL, g.Admin = "http://"+ln.Addr().String(), "http://"+adm.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.ServeOn(ctx, ln, adm) }() // cancel ends it, stop waits
	<-r.Ready()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(g.Stop)
	return g
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// Until waits until something is so.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(Patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Stop drains the relay and waits for its end. Calls after the first do nothing.
func (g *Rig) Stop() { g.stop() }

// Reload gives the relay its configuration again, after a change.
func (g *Rig) Reload(change func(*config.Config)) {
	g.Helper()
	if change != nil {
		change(&g.cfg)
	}
	if err := g.relay.Reload(g.cfg); err != nil {
		g.Fatal(err)
	}
}

// Logs is what was logged so far.
func (g *Rig) Logs() string {
	g.logs.mu.Lock()
	defer g.logs.mu.Unlock()
	return g.logs.b.String()
}

// Token is a user's token; change says what else stands in it.
func (g *Rig) Token(user string, change ...func(*auth.Claims)) string {
	g.Helper()
	c := auth.Claims{Sub: user, Name: strings.ToUpper(user), TTL: time.Hour}
	for _, f := range change {
		f(&c)
	}
	token, err := auth.Mint(secret, "", c)
	if err != nil {
		g.Fatal(err)
	}
	return token
}

// Grant lets a token do operations with the channels of a pattern.
func Grant(pattern string, ops ...string) func(*auth.Claims) {
	return func(c *auth.Claims) {
		if c.Channels == nil {
			c.Channels = make(map[string][]string)
		}
		c.Channels[pattern] = ops
	}
}

// Role gives a token a role.
func Role(role string) func(*auth.Claims) {
	return func(c *auth.Claims) { c.Roles = append(c.Roles, role) }
}

// As sends a request with the token of a user, "" without any, and returns status and body, decoded if it is
// JSON. A body that is not nil is sent as JSON, a string as it is.
func (g *Rig) As(user, method, path string, body any) (int, any) {
	g.Helper()
	token := ""
	if user != "" {
		token = g.Token(user)
	}
	return g.Call(token, method, path, body)
}

// Backend sends a request with the API key.
func (g *Rig) Backend(method, path string, body any) (int, any) {
	g.Helper()
	return g.Call(key, method, path, body)
}

// Call sends a request with a bearer token.
func (g *Rig) Call(bearer, method, path string, body any) (int, any) {
	g.Helper()
	if bearer != "" {
		bearer = "Authorization: Bearer " + bearer
	}
	status, _, out := g.Do(method, path, body, bearer)
	return status, out
}

// Do sends a request with header lines as given; empty ones are left out. A body is JSON unless a line says
// otherwise.
func (g *Rig) Do(method, path string, body any, lines ...string) (int, http.Header, any) {
	g.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			g.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, g.URL+path, in)
	if err != nil {
		g.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	var out any
	if json.Unmarshal(raw, &out) != nil {
		out = string(raw)
	}
	return resp.StatusCode, resp.Header, out
}
