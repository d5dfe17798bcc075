package relay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"weir/internal/contain"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/analytics"
	"weir/relay/systems/chat"
	"weir/relay/systems/documents"
	"weir/relay/systems/feed"
	"weir/relay/systems/notify"
	"weir/relay/systems/presence"
	"weir/relay/systems/webhook"
)

const webhookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// The places at which a relay with everything in it works on goroutines of its own, by when: from its start on, while it is
// used, and at its end. What is not here has a test in its own package.
var (
	atStart = []string{"committer", "committer loop", "checkpointer", "checkpointer loop", "checkpoint", "broker expirer", "broker expirer loop", "pool shard",
		"expiries", "idle reaper", "memory watch", "acceptor", "HTTP accept", "HTTP server", "admin server", "admin connection", "event loop", "ack waiter", "poller",
		"analytics", "recorder", "sweep of documents", "resumption of notifications", "key set", "fetch of the key set"}
	inUse = []string{"placement", "pending ack", "load for an event loop", "HTTP connection", "connection's goroutine", "commit",
		"after a commit", "deferred change", "broker deadline", "second of analytics", "sweep of a document", "drain of a document", "wait for a document",
		"step of a document", "end of a document's editors", "typing", "attempt at a webhook", "outcome of a webhook",
		"push", "outcome of a push", "result of a notification", "commands beside a turn", "end of a session", "end of a subscription", "expiry"}
	atEnd = []string{"drain", "wait for sessions", "end of a system", "end of presence", "last chance of webhooks", "last chance of notifications",
		"last checkpoint", "end of the log"}
)

// traps panics once at each of some places.
type traps struct {
	mu    sync.Mutex
	armed map[string]bool
	hit   []string
}

func set(t *testing.T, places ...string) *traps {
	x := &traps{armed: make(map[string]bool)}
	x.arm(places...)
	contain.Throw(x.step)
	t.Cleanup(func() { contain.Throw(nil) })
	return x
}

func (x *traps) arm(places ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range places {
		x.armed[p] = true
	}
}

func (x *traps) step(where string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.armed[where] {
		delete(x.armed, where)
		x.hit = append(x.hit, where)
		panic("thrown by the test at " + where)
	}
}

// left is the places where nobody has been yet.
func (x *traps) left() (list []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range x.armed {
		list = append(list, p)
	}
	return list
}

func (x *traps) hits() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.hit)
}

// trial is a relay with every system, and what uses all of it.
type trial struct {
	*relaytest.Rig
	hooks  chan string // what came at the receiver of webhooks and pushes
	target string
	runs   int
}

func newTrial(t *testing.T) *trial {
	x := &trial{hooks: make(chan string, 1000)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		select {
		case x.hooks <- string(b):
		default:
		}
	}))
	t.Cleanup(receiver.Close)
	x.target = receiver.URL
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) }))
	t.Cleanup(keys.Close)
	before := debug.SetMemoryLimit(8 << 30) // or there is nothing to watch
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	x.Rig = relaytest.Start(t, func(c *config.Config) { // the first system's Close is where one panics: it has no goroutine
		c.Dev = true
		c.Auth.JWKS = config.JWKS{URL: keys.URL, AllowInsecure: true}
		c.Data = filepath.Join(t.TempDir(), "data")
		c.Namespaces["kept"] = config.Namespace{Durable: true, Subscribe: config.Authenticated, Publish: config.Authenticated}
		c.Namespaces["late"] = config.Namespace{Durable: true, Deliver: config.AfterDisk, Subscribe: config.Authenticated}
		*config.Of[webhook.Config](c) = webhook.Config{{Name: "all", URL: receiver.URL, Secrets: []string{webhookSecret}, Topics: []string{"order.*"}, AllowInsecure: true}}
	}, presence.New(), chat.New(), feed.New(), notify.New(), documents.New(), analytics.New(), webhook.New())
	return x
}

// use does everything once, as somebody who has not been there before.
func (x *trial) use() error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	x.runs++
	for _, step := range []func(context.Context) error{x.channels, x.document, x.typing, x.webhook, x.push, x.expiry, x.admin} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request; it answers the body of a good answer.
func (x *trial) ask(ctx context.Context, bearer, method, path, body string) (m map[string]any, err error) {
	return x.askWith(ctx, http.DefaultClient, bearer, method, path, body)
}

func (x *trial) askWith(ctx context.Context, client *http.Client, bearer, method, path, body string) (m map[string]any, err error) {
	req, err := http.NewRequestWithContext(ctx, method, x.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %d %s %w", method, path, resp.StatusCode, b, err)
	}
	_ = json.Unmarshal(b, &m)
	return m, nil
}

func (x *trial) user() string { return "u" + strconv.Itoa(x.runs) }

func (x *trial) dial(ctx context.Context, path string, change ...func(*auth.Claims)) (*websocket.Conn, error) {
	c, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(x.URL, "http")+path,
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + x.Token(x.user(), change...)}}})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	return c, err
}

// until reads messages until one has all of some parts.
func until(ctx context.Context, c *websocket.Conn, parts ...string) (m map[string]any, err error) {
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for %v: %w", parts, err)
		}
		found := true
		for _, p := range parts {
			found = found && bytes.Contains(b, []byte(p))
		}
		if found {
			return m, json.Unmarshal(b, &m)
		}
	}
}

// channels follows channels of each kind, and fills them.
func (x *trial) channels(ctx context.Context) error {
	c, err := x.dial(ctx, "/ws")
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	for _, ns := range []string{"news", "kept", "late"} {
		channel := fmt.Sprintf("%s:%d", ns, x.runs)
		if err := wsjson.Write(ctx, c, map[string]any{"type": "subscribe", "id": "1", "channel": channel}); err != nil {
			return err
		}
		if _, err := until(ctx, c, `"subscribed"`, channel); err != nil {
			return err
		}
		if _, err := x.ask(ctx, "dev", "POST", "/v1/publish", `{"channel":"`+channel+`","data":"hello"}`); err != nil {
			return err
		}
		if _, err := until(ctx, c, channel, `"hello"`); err != nil {
			return err
		}
		if _, err := x.ask(ctx, "dev", "POST", "/v1/publish", `{"channel":"`+channel+`","op":"set","group":"g","key":"k","ttl":20,"data":1}`); err != nil {
			return err
		}
		if _, err := until(ctx, c, channel, `"expired"`); err != nil {
			return err
		}
		plain := &http.Client{Transport: new(http.Transport)} // whose connection stays at its event loop
		defer plain.CloseIdleConnections()
		if _, err := x.askWith(ctx, plain, "dev", "POST", "/v1/publish", `{"channel":"`+channel+`-alone","data":1}`); err != nil { // that is not in memory
			return err
		}
	}
	if err := wsjson.Write(ctx, c, map[string]any{"type": "publish", "id": "p", "channel": "kept:" + strconv.Itoa(x.runs), "data": 2}); err != nil {
		return err
	}
	if _, err := until(ctx, c, `"ok"`, `"p"`); err != nil {
		return err
	}
	return c.Close(websocket.StatusNormalClosure, "")
}

func (x *trial) document(ctx context.Context) error {
	c, err := x.dial(ctx, "/documents/d"+strconv.Itoa(x.runs)+"/collaborate")
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	if _, err := until(ctx, c, `"type":"document"`); err != nil {
		return err
	}
	if err := wsjson.Write(ctx, c, map[string]any{"type": "operation", "id": "1", "version": 0, "operation": []any{"a"}}); err != nil {
		return err
	}
	_, err = until(ctx, c, `"ok"`)
	return err
}

func (x *trial) typing(ctx context.Context) error {
	room, err := x.ask(ctx, x.Token(x.user()), "POST", "/chat/rooms", `{"type":"group","name":"r","memberIds":[]}`)
	if err != nil {
		return err
	}
	id, _ := room["id"].(string)
	c, err := x.dial(ctx, "/ws")
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	for range 2 { // the second one waits for a timer
		if err := wsjson.Write(ctx, c, map[string]any{"type": "event", "id": "1", "topic": "chat.typing.start", "data": map[string]any{"roomId": id}}); err != nil {
			return err
		}
		if _, err := until(ctx, c, `"ok"`); err != nil {
			return err
		}
	}
	return nil
}

// told waits for what a receiver of webhooks or pushes is told.
func (x *trial) told(ctx context.Context, part string) error {
	for {
		select {
		case body := <-x.hooks:
			if strings.Contains(body, part) {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("the receiver was not told %s", part)
		}
	}
}

func (x *trial) webhook(ctx context.Context) error {
	order := "order-" + strconv.Itoa(x.runs)
	if _, err := x.ask(ctx, "dev", "POST", "/v1/events", `{"topic":"order.paid","key":"`+order+`","data":"`+order+`"}`); err != nil {
		return err
	}
	return x.told(ctx, order)
}

func (x *trial) push(ctx context.Context) error {
	if _, err := x.ask(ctx, x.Token(x.user()), "POST", "/devices", `{"kind":"webhook","url":"`+x.target+`/`+x.user()+`"}`); err != nil {
		return err
	}
	id := "note-" + strconv.Itoa(x.runs)
	if _, err := x.ask(ctx, "dev", "POST", "/v1/notify", `{"userId":"`+x.user()+`","id":"`+id+`","title":"t"}`); err != nil {
		return err
	}
	return x.told(ctx, id)
}

// expiry waits for the end of a token.
func (x *trial) expiry(ctx context.Context) error {
	c, err := x.dial(ctx, "/ws", func(c *auth.Claims) { c.TTL = time.Second })
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	if _, err = until(ctx, c, "never"); websocket.CloseStatus(err) != 4001 && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
		return err
	}
	return nil
}

var panics = regexp.MustCompile(`(?m)^weir_panics_total (\d+)`)

func (x *trial) counted() int {
	resp, err := http.Get(x.Admin + "/metrics")
	if err != nil {
		return -1
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	m := panics.FindSubmatch(b)
	if m == nil {
		return -1
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

func (x *trial) admin(context.Context) error {
	if x.counted() < 0 {
		return fmt.Errorf("no metrics")
	}
	return nil
}

// recover uses the relay until all of it works, and each trap has been stepped into.
func (x *trial) recover(t *testing.T, traps *traps) {
	t.Helper()
	var err error
	for begun := time.Now(); ; {
		err = x.use()
		if err == nil && len(traps.left()) == 0 {
			break
		}
		if time.Since(begun) > 60*time.Second {
			t.Fatalf("%v; nobody has come to %q\n%s", err, traps.left(), x.Logs())
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); x.counted() != traps.hits(); <-tick.C { // the last one may be on its way
		if time.Since(begun) > relaytest.Patience {
			logs := x.Logs()
			for _, where := range traps.hit {
				if n := strings.Count(logs, "thrown by the test at "+where+`"`); n != 1 {
					t.Errorf("the panic at %q is logged %d times", where, n)
				}
			}
			t.Fatalf("%d panics are counted, and %d were thrown", x.counted(), traps.hits())
		}
	}
}

// end stops the relay, which has to end.
func (x *trial) end(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() { x.Stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(45 * time.Second):
		t.Fatalf("the relay does not end\n%s", x.Logs())
	}
}

// TestPanicAnywhere throws a panic into everything that runs on a goroutine of its own, once while it begins, once while it
// is used and once while it ends: all of it works afterwards, each is counted, and the relay ends.
func TestPanicAnywhere(t *testing.T) {
	t.Run("start", func(t *testing.T) {
		traps := set(t, atStart...)
		for _, p := range []string{"committer loop", "checkpointer loop", "broker expirer loop"} { // nobody can go on without them
			delete(traps.armed, p)
		}
		x := newTrial(t)
		x.recover(t, traps)
		x.end(t)
	})
	t.Run("use", func(t *testing.T) {
		traps := set(t)
		x := newTrial(t)
		if err := x.use(); err != nil {
			t.Fatal(err)
		}
		traps.arm(inUse...)
		x.recover(t, traps)
		x.end(t)
	})
	t.Run("end", func(t *testing.T) {
		traps := set(t)
		x := newTrial(t)
		if err := x.use(); err != nil {
			t.Fatal(err)
		}
		c, err := x.dial(t.Context(), "/ws")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.CloseNow() }()
		traps.arm(atEnd...)
		x.end(t)
		if left := traps.left(); len(left) > 0 {
			t.Errorf("nobody has come to %q", left)
		}
	})
}

// TestShutdownEndsWhateverPanics throws a panic whenever a loop begins, for ever: at each loop that others wait for, and at
// all of them. The relay ends all the same.
func TestShutdownEndsWhateverPanics(t *testing.T) {
	loops := []string{"committer", "checkpointer", "broker expirer", "pool shard", "expiries", "idle reaper", "memory watch", "acceptor", "HTTP accept",
		"HTTP server", "admin server", "event loop", "ack waiter", "poller", "analytics", "recorder", "sweep of documents", "key set"}
	cases := [][]string{loops}
	for _, l := range []string{"committer", "checkpointer", "pool shard", "acceptor", "HTTP accept", "event loop", "ack waiter", "key set"} {
		cases = append(cases, []string{l})
	}
	for _, at := range cases {
		t.Run(strings.Join(at[:1], " ")+fmt.Sprint(" of ", len(at)), func(t *testing.T) {
			var hits atomic.Int64
			contain.Throw(func(where string) {
				if slices.Contains(at, where) {
					hits.Add(1)
					panic("thrown by the test at " + where)
				}
			})
			t.Cleanup(func() { contain.Throw(nil) })
			x := newTrial(t)
			nc, err := net.Dial("tcp", strings.TrimPrefix(x.URL, "http://")) // event loops are opened for the first one
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = nc.Close() }()
			relaytest.Until(t, "the loop is begun again", func() bool { return hits.Load() > 1 })
			x.end(t)
		})
	}
}
