package hooks_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/internal/sign"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/hooks"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// drip is an answer that goes on for ever.
const drip = "drip"

// question is one that the backend was asked.
type question struct {
	path   string
	header http.Header
	body   relaytest.Message
}

func (q *question) cookie(name string) string {
	c, err := (&http.Request{Header: q.header}).Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// backend answers as the test says, and notes what it was asked.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	asked []question
	now   int // under way
	most  int
	say   func(q *question) (status int, body string)
	time  func() time.Time
}

func (b *backend) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.time()
}

// newBackend starts a backend whose users are those of the cookie "session".
func newBackend(t testing.TB, say func(q *question) (int, string)) *backend {
	t.Helper()
	key, err := sign.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{say: say, time: time.Now}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		if err := sign.Verify(key, h.Get(sign.HeaderID), h.Get(sign.HeaderTimestamp), h.Get(sign.HeaderSignature), body, b.clock()); err != nil {
			t.Errorf("signature: %v", err)
		}
		q := question{path: r.URL.Path, header: h}
		if err := json.Unmarshal(body, &q.body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		b.mu.Lock()
		b.asked = append(b.asked, q)
		b.now++
		b.most = max(b.most, b.now)
		say := b.say
		b.mu.Unlock()
		status, answer := say(&q)
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
		if status == http.StatusFound {
			w.Header().Set("Location", answer)
		}
		w.WriteHeader(status)
		for strings.HasPrefix(answer, drip) { // a byte now and then, without an end
			_, _ = io.WriteString(w, " ")
			if http.NewResponseController(w).Flush() != nil || r.Context().Err() != nil {
				return
			}
			<-time.After(time.Millisecond)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) answer(say func(q *question) (int, string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say = say
}

// questions are those of a path so far.
func (b *backend) questions(path string) (list []question) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.asked {
		if q.path == path {
			list = append(list, q)
		}
	}
	return list
}

// users signs in whoever has a cookie, under its value; body is what else the answer says.
func users(more string) func(q *question) (int, string) {
	return func(q *question) (int, string) {
		user := q.cookie("session")
		if user == "" {
			return 401, ""
		}
		return 200, `{"user":{"id":"` + user + `","name":"` + strings.ToUpper(user) + `"}` + more + `}`
	}
}

// clock is a wall clock that a test moves.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

const origin = "https://app.example"

// start starts a relay that asks b.
func start(t testing.TB, b *backend, prepare func(c *config.Config, h *hooks.Config), systems ...relay.System) *relaytest.Rig {
	t.Helper()
	return relaytest.Start(t, configured(b, prepare), append(systems, hooks.New())...)
}

// configured is the configuration of a relay that asks b.
func configured(b *backend, prepare func(c *config.Config, h *hooks.Config)) func(c *config.Config) {
	return func(c *config.Config) {
		h := config.Of[hooks.Config](c)
		*h = hooks.Config{URL: b.URL + "/weir", AllowInsecure: true, Secrets: []string{secret}, Cookies: []string{"session"}, Timeout: 5 * time.Second}
		c.Origins = []string{origin}
		defer func() {
			if c.Clock != nil {
				b.mu.Lock()
				b.time = c.Clock
				b.mu.Unlock()
			}
		}()
		c.Namespaces["asked"] = config.Namespace{Subscribe: config.ByWebhook, Publish: config.ByWebhook}
		c.Namespaces["room"] = config.Namespace{Subscribe: config.Capability, Publish: config.Capability}
		if prepare != nil {
			prepare(c, h)
		}
	}
}

// dial connects with header lines, from a page of the origin unless they say another. Without success the peer is nil.
func dial(g *relaytest.Rig, path string, lines ...string) (*relaytest.Peer, int, http.Header) {
	g.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
	defer cancel()
	h := http.Header{"Origin": {origin}}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if h.Set(name, value); value == "" {
			h.Del(name)
		}
	}
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(g.URL, "http")+path, &websocket.DialOptions{HTTPHeader: h})
	if resp == nil {
		g.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return nil, resp.StatusCode, resp.Header
	}
	return g.Peer(conn), resp.StatusCode, resp.Header
}

// connect is dial of a user that has to succeed. It returns the connected message too.
func connect(g *relaytest.Rig, user, path string) (*relaytest.Peer, relaytest.Message) {
	g.Helper()
	p, status, _ := dial(g, path, "Cookie: session="+user)
	if p == nil {
		g.Fatalf("the upgrade was answered %d", status)
	}
	return p, p.Type("connected")
}

// ask sends a command and returns what comes back with its id.
func ask(p *relaytest.Peer, id string, fields string) relaytest.Message {
	p.Helper()
	p.Send(`{"id":"` + id + `",` + fields + `}`)
	return p.Until(func(m relaytest.Message) bool { return m["id"] == id })
}
