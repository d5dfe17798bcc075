package documents_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents"
	"weir/relay/systems/documents/text"
)

// m is a JSON message.
type m = relaytest.Message

// start starts a relay on which everybody with a token may edit everything.
func start(t testing.TB, prepare ...func(*config.Config)) *relaytest.Rig {
	return relaytest.Start(t, func(c *config.Config) {
		c.Namespaces["document"] = config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated}
		for _, f := range prepare {
			f(c)
		}
	}, documents.New())
}

// swift lets answers come soon, for tests that wait for many.
func swift(c *config.Config) {
	window := time.Millisecond
	ns := c.Namespaces["document"]
	ns.Batch.Window = &window
	c.Namespaces["document"] = ns
}

// edit opens a document and answers the editor and what it was told.
func edit(g *relaytest.Rig, user, path string) (p *relaytest.Peer, connected, document m) {
	g.Helper()
	return opened(g, g.WS(user, "/documents/"+path))
}

func opened(g *relaytest.Rig, p *relaytest.Peer) (_ *relaytest.Peer, connected, document m) {
	g.Helper()
	if connected = p.Next(); connected["type"] != "connected" {
		g.Fatal(connected)
	}
	if document = p.Next(); document["type"] != "document" {
		g.Fatal(document)
	}
	return p, connected, document
}

func operation(id any, version int, components ...any) m {
	return m{"type": "operation", "id": id, "version": version, "operation": components}
}

// want reads the next message and holds some of its members against what is wanted.
func want(p *relaytest.Peer, kind string, members m) m {
	p.Helper()
	x := p.Next()
	if x["type"] != kind {
		p.Fatalf("%v where %s is due", x, kind)
	}
	for key, v := range members {
		if fmt.Sprint(x[key]) != fmt.Sprint(v) {
			p.Fatalf("%s is %v, not %v: %v", key, x[key], v, x)
		}
	}
	return x
}

func TestEditorsMeet(t *testing.T) {
	g := start(t)
	a, _, doc := edit(g, "u1", "d1/collaborate")
	b, hello, _ := edit(g, "u2", "d1/collaborate")
	if doc["text"] != "" || doc["version"] != 0.0 || hello["userId"] != "u2" || hello["src"] == "" {
		t.Fatal(doc, hello)
	}
	a.Send(operation("a1", 0, "AB"))
	want(a, "ok", m{"id": "a1", "version": 1})
	x := want(b, "operation", m{"userId": "u1", "version": 1, "operation": "[AB]", "id": "a1"})
	if x["timestamp"].(float64) < 1e12 {
		t.Fatal(x)
	}
	b.Send(operation(7, 0, "😅"))
	want(b, "ok", m{"id": 7, "version": 2})
	want(a, "operation", m{"operation": "[😅]", "version": 2})
	_, _, doc = edit(g, "u3", "d1/collaborate")
	if doc["text"] != "😅AB" || doc["version"] != 2.0 {
		t.Fatal(doc)
	}
}

// An author hears of what it did not know before it hears of its own.
func TestMissedComesBeforeAnswer(t *testing.T) {
	g := start(t, swift)
	a, _, _ := edit(g, "u1", "d1/collaborate")
	b, _, _ := edit(g, "u2", "d1/collaborate")
	for i := range 30 {
		a.Send(operation(i, 2*i, "a"))
		want(a, "ok", m{"version": 2*i + 1})
		b.Send(operation(i, 2*i, "b")) // made before it has seen a's
		want(b, "operation", m{"version": 2*i + 1})
		want(b, "ok", m{"version": 2*i + 2})
		want(a, "operation", m{"version": 2*i + 2, "operation": "[b]"})
	}
}

func TestHostileOperations(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[documents.Config](c).Size = 4 << 10 })
	if status, body := g.Backend("PUT", "/v1/documents/d1", m{"text": "a😅b"}); status != 200 {
		t.Fatal(status, body)
	}
	a, _, _ := edit(g, "u1", "d1/collaborate")
	many := make([]any, 0, 1200)
	for range 600 {
		many = append(many, m{"d": 1}, "x")
	}
	for i, tt := range []struct {
		message any
		code    string
	}{
		{operation("x", 1, 4, "y"), "bad_operation"},
		{operation("x", 1, -1, "y"), "bad_operation"},
		{operation("x", 1, 0, "y"), "bad_operation"},
		{operation("x", 1, 1.5, "y"), "bad_operation"},
		{operation("x", 1, 1e30, "y"), "bad_operation"},
		{operation("x", 1, m{"d": 999}), "bad_operation"},
		{operation("x", 1, m{"d": -1}), "bad_operation"},
		{operation("x", 1, ""), "bad_operation"},
		{operation("x", 1, 2), "bad_operation"},
		{operation("x", 1, many...), "bad_operation"},
		{operation("x", 1, nil), "bad_operation"},
		{operation("x", 1, []any{}), "bad_operation"},
		{`{"type":"operation","id":"x","version":1,"operation":["\ud83d"]}`, "bad_operation"},
		{operation("x", 2, "y"), "bad_version"},
		{operation("x", -1, "y"), "bad_request"},
		{operation(true, 1, "y"), "bad_request"},
		{operation(strings.Repeat("i", 100), 1, "y"), "bad_request"},
		{operation(m{}, 1, "y"), "bad_request"},
		{m{"type": "operation", "operation": "y"}, "bad_operation"},
		{m{"type": "operation"}, "bad_request"},
		{m{"type": "operation", "id": "x", "version": "1", "operation": []any{"y"}}, "bad_request"},
		{m{"type": "operation", "id": "x", "version": 1}, "bad_request"},
		{m{"type": "operation", "id": "x", "version": 1, "operation": "y"}, "bad_operation"},
		{`{"type":"operation","id":"x","version":1,"version":1,"operation":["y"]}`, "bad_request"},
		{operation("x", 1, strings.Repeat("y", 4<<10)), "document_too_large"},
		{m{"type": "cursor", "position": -1}, "bad_request"},
		{m{"type": "cursor", "position": 4}, "bad_request"},
		{m{"type": "cursor", "position": "1"}, "bad_request"},
		{m{"type": "cursor", "position": 1, "selection": m{"start": 0, "end": 9}}, "bad_request"},
		{m{"type": "cursor", "position": 1, "selection": m{"start": 0}}, "bad_request"},
		{m{"type": "cursor", "position": 1, "version": 9}, "bad_version"},
		{m{"type": "refresh", "token": "x"}, "unauthorized"},
		{m{"type": "subscribe", "channel": "document:d1"}, "unknown_type"},
		{m{"type": 1}, "bad_request"},
		{`[1]`, "invalid_json"},
		{`nonsense`, "invalid_json"},
	} {
		a.Send(tt.message)
		if x := a.Next(); x["type"] != "error" || x["code"] != tt.code {
			t.Errorf("%d: %.100v was answered %v, not %s", i, tt.message, x, tt.code)
		}
	}
	if status, body := g.Backend("GET", "/v1/documents/d1", nil); status != 200 || body.(m)["text"] != "a😅b" || body.(m)["version"] != 1.0 {
		t.Fatal(status, body)
	}
	a.Send(operation("y", 1, 1, m{"d": 1}, "ok")) // and it still works
	want(a, "ok", m{"version": 2})
}

func TestResends(t *testing.T) {
	g := start(t)
	a, hello, doc := edit(g, "u1", "d1/collaborate")
	a.Send(operation("1", 0, "one"))
	want(a, "ok", m{"version": 1})
	a.Send(operation("1", 0, "one")) // the answer might have been lost
	want(a, "ok", m{"id": "1", "version": 1})
	a.Send(operation("2", 0, "two")) // made without the first
	want(a, "error", m{"id": "2", "code": "unanswered"})
	g.Backend("POST", "/v1/documents/d1/operations", m{"operation": []any{3, "!"}})
	want(a, "operation", m{"version": 2, "userId": ""})
	a.Drop()

	path := fmt.Sprintf("d1/collaborate?src=%s&epoch=%s&version=0", hello["src"], doc["epoch"])
	a, again, doc := edit(g, "u1", path)
	if again["src"] != hello["src"] || doc["text"] != nil || doc["version"] != 2.0 {
		t.Fatal(again, doc)
	}
	missed := doc["operations"].([]any)
	if len(missed) != 2 || missed[0].(m)["src"] != hello["src"] || missed[0].(m)["id"] != "1" || fmt.Sprint(missed[1].(m)["operation"]) != "[3 !]" {
		t.Fatal(missed)
	}
	a.Send(operation("1", 0, "one"))
	want(a, "ok", m{"id": "1", "version": 1})
	// Another user with that src is another editor.
	b, _, _ := edit(g, "u2", path)
	b.Send(operation("1", 0, "1"))
	want(b, "ok", m{"version": 3})
	// Another log, or a version that there is not yet: the text.
	for _, query := range []string{"epoch=0&version=0", "epoch=" + doc["epoch"].(string) + "&version=99"} {
		if _, _, doc := edit(g, "u1", "d1/collaborate?"+query); doc["text"] != "1one!" {
			t.Fatal(doc)
		}
	}
	for _, query := range []string{"version=-1&epoch=0", "version=1", "src=" + strings.Repeat("s", 200), "src=a%20b"} {
		if p, status := g.Dial(g.Token("u1"), "/documents/d1/collaborate?"+query); p != nil || status != 400 {
			t.Error(query, status)
		}
	}
}

func TestResync(t *testing.T) {
	g := start(t)
	a, hello, doc := edit(g, "u1", "d1/collaborate")
	a.Send(operation("first", 0, "x"))
	want(a, "ok", nil)
	const n = 1600
	for i := range n {
		if status, body := g.Backend("POST", "/v1/documents/d1/operations", m{"operation": []any{"y"}}); status != 200 || body.(m)["version"] != float64(i+2) {
			t.Fatal(status, body)
		}
		if i%100 == 99 { // who does not read answers no ping
			a.Until(func(x m) bool { return x["type"] == "operation" && x["version"] == float64(i+2) })
		}
	}
	a.Send(operation("old", 1, "z"))
	x := a.Until(func(x m) bool { return x["type"] != "operation" })
	if x["type"] != "resync" || x["id"] != "old" || x["version"] != float64(n+1) || x["text"] != strings.Repeat("y", n)+"x" || x["epoch"] != doc["epoch"] {
		t.Fatal(x)
	}
	again := m{"operation": []any{"z"}, "src": "job", "id": 1} // without a version, after more operations than are kept
	for range 2 {
		if status, body := g.Backend("POST", "/v1/documents/d1/operations", again); status != 200 || body.(m)["version"] != float64(n+2) {
			t.Fatal(status, body)
		}
	}
	want(a, "operation", m{"version": n + 2})
	a.Send(operation("new", n+2, "z"))
	want(a, "ok", m{"version": n + 3})
	a.Drop()
	_, _, doc = edit(g, "u1", fmt.Sprintf("d1/collaborate?src=%s&epoch=%s&version=1", hello["src"], doc["epoch"]))
	if doc["text"] != "zz"+strings.Repeat("y", n)+"x" {
		t.Fatal(doc)
	}
}

func TestGrants(t *testing.T) {
	g := relaytest.Start(t, nil, documents.New())
	may := func(ops ...string) func(*auth.Claims) {
		return func(c *auth.Claims) { c.Channels = map[string][]string{"document:d1": ops} }
	}
	for name, token := range map[string]string{"no grant": g.Token("u1"), "write only": g.Token("u1", may("publish")),
		"everything": g.Token("u1", func(c *auth.Claims) { c.Channels = map[string][]string{"*": {"*"}} })} {
		if p, status := g.Dial(token, "/documents/d1/collaborate"); p != nil || status != 403 {
			t.Error(name, status)
		}
	}
	if p, status := g.Dial("", "/documents/d1/collaborate"); p != nil || status != 401 {
		t.Error(status)
	}
	if p, status := g.Dial(g.Token("u1", may("subscribe")), "/documents/d2/collaborate"); p != nil || status != 403 {
		t.Error("another document", status)
	}
	dial := func(user string, ops ...string) (*relaytest.Peer, m) {
		p, status := g.Dial(g.Token(user, may(ops...)), "/documents/d1/collaborate")
		if p == nil {
			t.Fatal(status)
		}
		_, hello, _ := opened(g, p)
		return p, hello
	}
	reader, hello := dial("u1", "subscribe")
	if hello["write"] != false {
		t.Error(hello)
	}
	reader.Send(operation("1", 0, "x"))
	want(reader, "error", m{"id": "1", "code": "forbidden"})
	writer, hello := dial("u2", "subscribe", "publish")
	if hello["write"] != true {
		t.Error(hello)
	}
	writer.Send(operation("1", 0, "x"))
	want(writer, "ok", m{"version": 1})
	want(reader, "operation", m{"version": 1})

	writer.Send(m{"type": "refresh", "id": 1, "token": g.Token("u2", may("subscribe"))})
	want(writer, "ok", m{"id": 1, "write": false})
	writer.Send(operation("2", 1, "x"))
	want(writer, "error", m{"id": "2", "code": "forbidden"})
	writer.Send(m{"type": "refresh", "id": 2, "token": g.Token("u2")})
	if code := writer.Closed(); code != 4003 {
		t.Error(code)
	}
	if status, body := g.Backend("POST", "/v1/unsubscribe", m{"channel": "document:d1", "userId": "u1"}); status != 200 || fmt.Sprint(body) != "map[unsubscribed:1]" {
		t.Error(status, body)
	}
	if code := reader.Closed(); code != 4003 {
		t.Error(code)
	}
	// Nobody looks into a document over the channels that it is kept in.
	ws, status := g.Dial(g.Token("u1", func(c *auth.Claims) {
		c.Channels = map[string][]string{"document:*": {"*"}, "document-log:*": {"*"}, "document-head:*": {"*"}}
	}), "/ws")
	if ws == nil {
		t.Fatal(status)
	}
	ws.Type("connected")
	for _, channel := range []string{"document:d1", "document-log:d1", "document-head:d1"} {
		ws.Send(m{"type": "subscribe", "id": 1, "channel": channel})
		want(ws, "error", m{"code": "forbidden"})
		ws.Send(m{"type": "publish", "id": 2, "channel": channel, "data": 1})
		want(ws, "error", m{"code": "forbidden"})
	}
}

func TestDocumentIDs(t *testing.T) {
	g := start(t)
	for path, status := range map[string]int{"a%2Fb": 101, strings.Repeat("d", 200): 101, "a:b@c~=.d": 101, ".d": 101,
		"a%20b": 400, strings.Repeat("d", 201): 400, "a%00": 400} {
		p, got := g.Dial(g.Token("u1"), "/documents/"+path+"/collaborate")
		if got != status {
			t.Errorf("%s: %d", path, got)
		}
		if p != nil {
			p.Close()
		}
	}
}

// Many editors type at once over real connections; some drop theirs and come back. All end with the server's text.
func TestEditorsConverge(t *testing.T) {
	g := start(t, swift)
	const editors, edits = 6, 120
	g.Backend("PUT", "/v1/documents/d1", m{"text": "begin 😅 end"})
	var all sync.WaitGroup
	texts := make([]*replica, editors)
	for i := range editors {
		texts[i] = &replica{rig: g, user: fmt.Sprint("u", i), r: rand.New(rand.NewPCG(uint64(i), 3)), src: fmt.Sprint("s", i)}
		texts[i].connect()
		all.Go(func() {
			for range edits {
				texts[i].edit()
			}
		})
	}
	all.Wait()
	_, body := g.Backend("GET", "/v1/documents/d1", nil)
	if body.(m)["version"] != float64(1+editors*edits) {
		t.Fatal(body.(m)["version"])
	}
	for _, x := range texts {
		x.catchUp(1 + editors*edits)
		if x.text.String() != body.(m)["text"] {
			t.Errorf("%s has %q, not %q", x.user, x.text.String(), body.(m)["text"])
		}
	}
}

// replica is a client that has at most one operation under way and types nothing meanwhile.
type replica struct {
	rig     *relaytest.Rig
	peer    *relaytest.Peer
	user    string
	src     string
	r       *rand.Rand
	epoch   any
	version int
	text    *text.Buffer
	flight  text.Op
	id      int
}

func (x *replica) connect() {
	path := "d1/collaborate?src=" + x.src
	if x.text != nil {
		path += fmt.Sprintf("&epoch=%s&version=%d", x.epoch, x.version)
	}
	var doc m
	x.peer, _, doc = edit(x.rig, x.user, path)
	x.epoch = doc["epoch"]
	if s, ok := doc["text"].(string); ok {
		x.text, x.version = text.NewBuffer(s), int(doc["version"].(float64))
		return
	}
	for _, o := range doc["operations"].([]any) {
		x.take(o.(m))
	}
}

// take applies an operation of the log.
func (x *replica) take(o m) {
	if int(o["version"].(float64)) != x.version+1 {
		x.rig.Errorf("%s has %d and gets %v", x.user, x.version, o["version"])
	}
	x.version++
	if o["src"] == x.src {
		x.flight = nil // applied when it was made
		return
	}
	op := read(x.rig, o["operation"])
	if x.flight != nil {
		op, x.flight = text.Transform(op, x.flight, text.Right), text.Transform(x.flight, op, text.Left)
	}
	if err := x.text.Apply(op); err != nil {
		x.rig.Error(err)
	}
}

// edit makes an operation and waits for its answer; now and then the connection breaks in between.
func (x *replica) edit() {
	left := x.text.Len()
	var op text.Op
	if left > 0 {
		op = append(op, text.Skipping(1+x.r.IntN(left)))
		left -= op[0].N
	}
	if left > 0 && x.r.IntN(2) == 0 {
		op = append(op, text.Deleting(1+x.r.IntN(min(left, 3))))
	} else {
		op = append(op, text.Inserting([]string{"x", "😅", "lorem ", "\n"}[x.r.IntN(4)]))
	}
	x.id++
	if err := x.text.Apply(slices.Clone(op)); err != nil {
		x.rig.Error(err)
	}
	x.flight = op
	x.send()
	for x.flight != nil {
		if x.r.IntN(20) == 0 {
			x.peer.Drop()
			if x.connect(); x.flight != nil {
				x.send()
			}
			continue
		}
		switch o := x.peer.Next(); o["type"] {
		case "operation":
			x.take(o)
		case "ok":
			if x.version++; o["version"] != float64(x.version) || o["id"] != float64(x.id) {
				x.rig.Errorf("%s has %d and is answered %v", x.user, x.version, o)
			}
			x.flight = nil
		default:
			x.rig.Error(o)
		}
	}
}

func (x *replica) send() {
	x.peer.Send(fmt.Sprintf(`{"type":"operation","id":%d,"version":%d,"operation":%s}`, x.id, x.version, x.flight))
}

func (x *replica) catchUp(version int) {
	for x.version < version {
		x.take(x.peer.Type("operation"))
	}
}

func read(t testing.TB, v any) text.Op {
	t.Helper()
	var op text.Op
	for _, c := range v.([]any) {
		switch c := c.(type) {
		case float64:
			op = append(op, text.Skipping(int(c)))
		case string:
			op = append(op, text.Inserting(c))
		case m:
			op = append(op, text.Deleting(int(c["d"].(float64))))
		}
	}
	return op
}

// A cursor shows the name that its user's newest token says, on all of their connections.
func TestCursorsShowTheNewestName(t *testing.T) {
	g := start(t, swift)
	a, _, _ := edit(g, "u1", "d1/collaborate")
	tab, _, _ := edit(g, "u1", "d1/collaborate")
	b, _, _ := edit(g, "u2", "d1/collaborate")
	a.Send(m{"type": "cursor", "position": 0})
	want(b, "cursor", m{"name": "U1"})
	tab.Send(m{"type": "refresh", "id": 1, "token": g.Token("u1", func(c *auth.Claims) { c.Name = "Renamed" })})
	tab.Type("ok")
	want(b, "cursor", m{"name": "Renamed", "userId": "u1"})
	_, _, doc := edit(g, "u3", "d1/collaborate")
	if cursors := doc["cursors"].([]any); len(cursors) != 1 || cursors[0].(m)["name"] != "Renamed" {
		t.Fatal(doc)
	}
}

// An operation without an id and a version, as the simplest client sends it, is made at what its connection was sent, or
// had taken from it before. Its author gets it back like everybody else, and so knows what has become of it.
func TestOperationsWithoutIDs(t *testing.T) {
	g := start(t, swift)
	a, _, _ := edit(g, "u1", "d1/collaborate")
	b, _, _ := edit(g, "u2", "d1/collaborate")
	bare := func(components ...any) m { return m{"type": "operation", "operation": components} }
	a.Send(bare("hello"))
	var ids []any
	for _, p := range []*relaytest.Peer{a, b} {
		o := want(p, "operation", m{"version": 1, "operation": "[hello]", "userId": "u1"})
		if o["id"] == nil || o["id"] == "" || o["timestamp"] == nil {
			t.Error(o)
		}
		ids = append(ids, o["id"])
	}
	if ids[0] != ids[1] {
		t.Error(ids)
	}
	for i, c := range []string{"a", "b", "c"} { // without waiting for any of them
		a.Send(bare(5+i, c))
	}
	for i, c := range []string{"a", "b", "c"} {
		for _, p := range []*relaytest.Peer{a, b} {
			want(p, "operation", m{"version": 2 + i, "operation": fmt.Sprint([]any{5 + i, c})})
		}
	}
	b.Send(bare(8, "!")) // what it was sent counts, as it has said nothing yet
	want(a, "operation", m{"version": 5, "operation": "[8 !]"})
	want(b, "operation", m{"version": 5})
	a.Send(m{"type": "operation", "id": 7, "operation": []any{9, "?"}}) // who sends an id gets ok
	want(a, "ok", m{"id": 7, "version": 6})
	want(b, "operation", m{"version": 6, "id": 7})
	a.Send(m{"type": "operation", "version": 6, "operation": []any{"<"}})
	want(a, "operation", m{"version": 7})
	want(b, "operation", m{"version": 7})
	if _, _, doc := edit(g, "u3", "d1/collaborate"); doc["text"] != "<helloabc!?" {
		t.Error(doc)
	}
}

// What still waits in the window has not been sent: an operation without a version is not taken for one that knows it.
func TestOperationBesideOneInTheWindow(t *testing.T) {
	g := start(t, func(c *config.Config) {
		window, eager := 300*time.Millisecond, false
		ns := c.Namespaces["document"]
		ns.Batch = config.Batch{Window: &window, Eager: &eager}
		c.Namespaces["document"] = ns
	})
	a, _, _ := edit(g, "u1", "d1/collaborate")
	b, _, _ := edit(g, "u2", "d1/collaborate")
	a.Send(operation("x", 0, "0123456789"))
	want(a, "ok", m{"version": 1})
	want(b, "operation", m{"version": 1})
	a.Send(operation("y", 1, m{"d": 5})) // the next window: b does not have it yet
	a.Send(m{"type": "ping", "id": 1})
	want(a, "pong", nil)
	b.Send(m{"type": "operation", "operation": []any{10, "end"}}) // after ten characters, of which five are left
	want(a, "ok", m{"version": 2})
	want(a, "operation", m{"version": 3, "operation": "[5 end]"})
	if _, _, doc := edit(g, "u3", "d1/collaborate"); doc["text"] != "56789end" {
		t.Error(doc)
	}
}

// A paste that is larger than a message may be is refused for what it is, and the document stays open.
func TestLargePaste(t *testing.T) {
	g := start(t, swift, func(c *config.Config) { config.Of[documents.Config](c).Message = 64 << 10 })
	a, hello, _ := edit(g, "u1", "d1/collaborate")
	if limits, _ := hello["limits"].(m); limits["message"] != float64(64<<10) {
		t.Error(hello)
	}
	a.Send(operation("big", 0, strings.Repeat("x", 70<<10)))
	want(a, "error", m{"id": "big", "code": "too_large", "retryable": false})
	a.Send(operation("small", 0, "y"))
	want(a, "ok", m{"id": "small", "version": 1})
}
