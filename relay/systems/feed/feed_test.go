package feed_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/feed"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

func start(t *testing.T, prepare ...func(*config.Config)) *relaytest.Rig {
	t.Helper()
	return relaytest.Start(t, func(c *config.Config) {
		for _, f := range prepare {
			f(c)
		}
	}, feed.New())
}

// post posts an item and answers its id.
func post(g *relaytest.Rig, user, body string) string {
	g.Helper()
	status, out := g.Backend("POST", "/v1/feed/"+user, body)
	if status != 200 {
		g.Fatal(status, out)
	}
	return out.(map[string]any)["id"].(string)
}

// follow opens a user's stream, from an id or from now ("").
func follow(g *relaytest.Rig, user, last string) *relaytest.Stream {
	g.Helper()
	if last != "" {
		last = "Last-Event-ID: " + last
	}
	s, status := g.Follow("/feed/live", "Authorization: Bearer "+g.Token(user), last)
	if s == nil {
		g.Fatal(status)
	}
	if e := s.Next(); e.Type != "connected" || e.Data != fmt.Sprintf(`{"userId":%q}`, user) || e.ID == "" {
		g.Fatal(e)
	}
	return s
}

func want(s *relaytest.Stream, kind, data, id string) {
	s.Helper()
	if e := s.Next(); e.Type != kind || e.Data != data || id != "*" && e.ID != id {
		s.Fatalf("%+v, not %s %s %s", e, kind, data, id)
	}
}

// TestStreamHeaders is the answer that the stream begins with.
func TestStreamHeaders(t *testing.T) {
	g := start(t)
	s := follow(g, "u5", "")
	if s.Header.Get("Cache-Control") != "no-cache" || s.Header.Get("Connection") != "keep-alive" {
		t.Error(s.Header)
	}
	for name, part := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		if !strings.Contains(s.Header.Get(name), part) {
			t.Errorf("%s: %q", name, s.Header.Get(name))
		}
	}
	if _, status := g.Follow("/feed/live"); status != 401 {
		t.Error("without a token", status)
	}
}

// TestConnectedComesFirst, and then event, data and id as they were posted; other users' items do not come.
func TestConnectedComesFirst(t *testing.T) {
	g := start(t)
	s := follow(g, "u5", "")
	if id := post(g, "u5", `{"type":"post","data":{"n": 1},"id":"a-1"}`); id != "a-1" {
		t.Error(id)
	}
	want(s, "post", `{"n": 1}`, "a-1")
	post(g, "u6", `{"type":"post","data":"not yours"}`)
	post(g, "u5", `{"type":"like","data":[1,"\u000a"],"id":17}`)
	want(s, "like", `[1,"\u000a"]`, "17")
	post(g, "u5", "{\"type\":\"like\",\"data\":{\n\"a\":\r\n0},\"id\":null}")
	want(s, "like", "{ \"a\":  0}", "*")
}

// TestMissingIDGetsOne: no "undefined" on the wire.
func TestMissingIDGetsOne(t *testing.T) {
	g := start(t)
	s := follow(g, "u1", "")
	a, b := post(g, "u1", `{"type":"post","data":1}`), post(g, "u1", `{"type":"post","data":2,"id":""}`)
	if len(a) != 26 || len(b) != 26 || a == b {
		t.Error(a, b)
	}
	want(s, "post", "1", a)
	want(s, "post", "2", b)
}

// TestAppend: a text that is appended to on the channel by other means comes as the whole of it, and to who comes back once.
func TestAppend(t *testing.T) {
	g := start(t)
	s := follow(g, "u1", "")
	more := func(text string) {
		t.Helper()
		if status, out := g.Backend("POST", "/v1/publish", map[string]any{"channel": "feed:u1", "key": "t", "op": "append", "data": text}); status != 200 {
			t.Fatal(status, out)
		}
	}
	more("a")
	first := s.Next()
	if first.Data != `"a"` {
		t.Fatal(first)
	}
	more("b")
	want(s, first.Type, `"ab"`, "*")
	more("c")
	want(s, first.Type, `"abc"`, "*")
	want(follow(g, "u1", first.ID), first.Type, `"abc"`, "*")
}

// TestRetryIsTold, differently to each.
func TestRetryIsTold(t *testing.T) {
	g := start(t)
	seen := make(map[string]bool)
	for range 8 {
		s := follow(g, "u1", "")
		if ms, err := strconv.Atoi(s.Retry); err != nil || ms < 1000 || ms > 3000 {
			t.Error(s.Retry, err)
		}
		seen[s.Retry] = true
	}
	if len(seen) < 2 {
		t.Error("all come back at once")
	}
}

// TestLastEventIDResumes, given in the header or in the query, from the id of an item and from the cursor of
// "connected".
func TestLastEventIDResumes(t *testing.T) {
	g := start(t)
	s := follow(g, "u5", "")
	cursor := s.LastID
	s.Drop()
	post(g, "u5", `{"type":"post","data":1,"id":"x1"}`)
	post(g, "u5", `{"type":"post","data":2,"id":"x2"}`)
	post(g, "u5", `{"type":"like","data":3}`)
	s = follow(g, "u5", cursor)
	want(s, "post", "1", "x1")
	want(s, "post", "2", "x2")
	want(s, "like", "3", "*")
	last := s.LastID
	s = follow(g, "u5", "x1")
	want(s, "post", "2", "x2")
	want(s, "like", "3", last)
	q, status := g.Follow("/feed/live?lastEventId=x2", "Authorization: Bearer "+g.Token("u5"))
	if q == nil {
		t.Fatal(status)
	}
	if e := q.Next(); e.Type != "connected" {
		t.Fatal(e)
	}
	want(q, "like", "3", last)
	post(g, "u5", `{"type":"post","data":4,"id":"x4"}`)
	for _, s := range []*relaytest.Stream{s, q, follow(g, "u5", last)} {
		want(s, "post", "4", "x4")
	}
}

// TestConnectedKeepsThePlace: a stream that breaks off right after "connected" loses nothing.
func TestConnectedKeepsThePlace(t *testing.T) {
	g := start(t)
	post(g, "u5", `{"type":"post","data":1,"id":"x1"}`)
	post(g, "u5", `{"type":"post","data":2,"id":"x2"}`)
	s := follow(g, "u5", "x1")
	cursor := s.LastID
	s = follow(g, "u5", cursor)
	want(s, "post", "2", "x2")
}

// TestResumeThatIsNotPossible is told, and what is kept comes all the same.
func TestResumeThatIsNotPossible(t *testing.T) {
	g := start(t, func(c *config.Config) {
		c.Namespaces["feed"] = config.Namespace{History: config.History{Size: new(2)}, Subscribe: config.Backend, Publish: config.Backend}
	})
	cursor := follow(g, "u5", "").LastID
	for i := range 5 {
		post(g, "u5", fmt.Sprintf(`{"type":"post","data":%d,"id":"x%d"}`, i, i))
	}
	for _, last := range []string{"x0", cursor, "somebody else's", "AQ"} {
		s := follow(g, "u5", last)
		if e := s.Next(); e.Type != "resync" || !strings.Contains(e.Data, `"lost":true`) || e.ID == "" {
			t.Fatal(last, e)
		}
		again := follow(g, "u5", s.LastID)
		for _, s := range []*relaytest.Stream{s, again} {
			want(s, "post", "3", "x3")
			want(s, "post", "4", "x4")
		}
	}
	s := follow(g, "nobody", "x0")
	if e := s.Next(); e.Type != "resync" {
		t.Fatal(e)
	}
	post(g, "nobody", `{"type":"post","data":1,"id":"x0"}`)
	want(s, "post", "1", "x0")
}

// TestLogLostUnderReaders is told to them at once, and their new place is good.
func TestLogLostUnderReaders(t *testing.T) {
	g := start(t)
	post(g, "u5", `{"type":"post","data":1,"id":"x1"}`)
	s := follow(g, "u5", "x1")
	if status, out := g.Backend("DELETE", "/v1/channels/feed:u5", nil); status != 200 {
		t.Fatal(status, out)
	}
	if e := s.Next(); e.Type != "resync" || e.ID == "" {
		t.Fatal(e)
	}
	again := follow(g, "u5", s.LastID)
	post(g, "u5", `{"type":"post","data":2,"id":"x1"}`)
	want(s, "post", "2", "x1")
	want(again, "post", "2", "x1")
}

// TestSameIDIsOneItem however often it is posted.
func TestSameIDIsOneItem(t *testing.T) {
	g := start(t)
	s := follow(g, "u5", "")
	_, first := g.Backend("POST", "/v1/feed/u5", `{"type":"post","data":1,"id":"x1"}`)
	_, second := g.Backend("POST", "/v1/feed/u5", `{"type":"post","data":2,"id":"x1"}`)
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Error(first, second)
	}
	post(g, "u5", `{"type":"post","data":3,"id":"x3"}`)
	want(s, "post", "1", "x1")
	want(s, "post", "3", "x3")
}

// TestNewlinesInjectNothing: what could end a line in a type or an id is refused, and so is what has the wrong
// form; the answer names the field.
func TestNewlinesInjectNothing(t *testing.T) {
	g := start(t)
	s := follow(g, "u5", "")
	for _, tt := range []struct{ body, field string }{
		{`{"type":"a\nevent: admin","data":1}`, "type"},
		{`{"type":"a\rdata: 2","data":1}`, "type"},
		{`{"type":"a\u0000","data":1}`, "type"},
		{`{"type":"a\u2028b","data":1}`, "type"},
		{`{"type":" a","data":1}`, "type"},
		{`{"type":"","data":1}`, "type"},
		{`{"data":1}`, "type"},
		{`{"type":7,"data":1}`, "type"},
		{`{"type":"connected","data":1}`, "type"},
		{`{"type":"error","data":1}`, "type"},
		{`{"type":"` + strings.Repeat("a", 129) + `","data":1}`, "type"},
		{`{"type":"a","data":1,"id":"1\n\nevent: admin"}`, "id"},
		{`{"type":"a","data":1,"id":"1\r"}`, "id"},
		{`{"type":"a","data":1,"id":"1\u0000"}`, "id"},
		{`{"type":"a","data":1,"id":" 1"}`, "id"},
		{`{"type":"a","data":1,"id":{}}`, "id"},
		{`{"type":"a","data":1,"id":true}`, "id"},
		{`{"type":"a","data":1,"id":"` + strings.Repeat("a", 129) + `"}`, "id"},
		{`{"type":"a","data":1,"id":"` + s.LastID + `"}`, "id"},
		{`{"type":"a"}`, "data"},
		{`{"type":"a","data":1,"data":2}`, "data"},
		{`{"type":"a","data":"` + strings.Repeat("x", 65<<10) + `"}`, "data"},
	} {
		status, out := g.Backend("POST", "/v1/feed/u5", tt.body)
		if title := fmt.Sprint(out.(map[string]any)["title"]); status/100 != 4 || !strings.Contains(title, tt.field) {
			t.Errorf("%.60s: %d %s", tt.body, status, title)
		}
	}
	for _, body := range []string{``, `{`, `[]`, `"a"`} {
		if status, out := g.Backend("POST", "/v1/feed/u5", body); status != 400 {
			t.Error(body, status, out)
		}
	}
	post(g, "u5", `{"type":"ok","data":"\n\nevent: admin\n","id":"event: b"}`)
	want(s, "ok", `"\n\nevent: admin\n"`, "event: b")
}

// TestOtherPublications on the channel reach the stream as plain messages that can be resumed from.
func TestOtherPublications(t *testing.T) {
	g := start(t)
	s := follow(g, "u5", "")
	for _, body := range []string{
		`{"channel":"feed:u5","data":{"type":"a\nb","id":"1","data":1}}`,
		`{"channel":"feed:u5","key":"k","data":"{[\"\\"}`,
		`{"channel":"feed:u5","key":"k","op":"delete"}`,
		`{"channel":"feed:u5","data":{"type":"a","id":"1","data":[]}}`,
	} {
		if status, out := g.Backend("POST", "/v1/publish", body); status != 200 {
			t.Fatal(status, out)
		}
	}
	want(s, "message", `{"type":"a\nb","id":"1","data":1}`, "*")
	first := s.LastID
	want(s, "message", `"{[\"\\"`, "*")
	want(s, "a", `[]`, "1")
	s = follow(g, "u5", first)
	want(s, "message", `"{[\"\\"`, "*")
	want(s, "a", `[]`, "1")
}

// TestDeepData goes through as deep as any message may nest.
func TestDeepData(t *testing.T) {
	g := start(t)
	deep := strings.Repeat("[", 31) + strings.Repeat("]", 31)
	post(g, "u5", `{"type":"first","data":1,"id":"x0"}`)
	s := follow(g, "u5", "")
	post(g, "u5", `{"type":"deep","data":`+deep+`,"id":"x1"}`)
	want(s, "deep", deep, "x1")
	want(follow(g, "u5", "x0"), "deep", deep, "x1")
}

// TestUserNames: a user whose name a channel cannot hold has a feed all the same.
func TestUserNames(t *testing.T) {
	g := start(t)
	const user = "auth0|7 é/x"
	s, status := g.Follow("/feed/live", "Authorization: Bearer "+g.Token(user))
	if s == nil {
		t.Fatal(status)
	}
	s.Next()
	post(g, url.PathEscape(user), `{"type":"post","data":1,"id":"1"}`)
	want(s, "post", "1", "1")
	if status, _ := g.Backend("POST", "/v1/feed/"+strings.Repeat("a", 300), `{"type":"post","data":1}`); status != 400 {
		t.Error(status)
	}
	if status, _ := g.As("u1", "POST", "/v1/feed/u1", `{"type":"post","data":1}`); status != 401 {
		t.Error("a client posts", status)
	}
}

// TestBrowsersNeedNoHeader: a cookie or a ticket lets them in; the ticket once.
func TestBrowsersNeedNoHeader(t *testing.T) {
	g := start(t, func(c *config.Config) {
		c.Auth.Cookie = "session"
		c.Origins = []string{"https://app.example"}
	})
	s, status := g.Follow("/feed/live", "Cookie: session="+g.Token("u1"), "Origin: https://app.example")
	if s == nil {
		t.Fatal(status)
	}
	if h := s.Header; h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Credentials") != "true" {
		t.Error(h)
	}
	if _, status := g.Follow("/feed/live", "Cookie: session="+g.Token("u1"), "Origin: https://evil.example"); status != 403 {
		t.Error("another page", status)
	}
	if status, _, _ := g.Do("OPTIONS", "/feed/live", nil, "Origin: https://app.example"); status != 204 {
		t.Error("preflight", status)
	}
	status, out := g.Backend("POST", "/v1/tickets", `{"userId":"u2"}`)
	if status != 200 {
		t.Fatal(status, out)
	}
	path := "/feed/live?ticket=" + url.QueryEscape(out.(map[string]any)["ticket"].(string))
	if s, status = g.Follow(path); s == nil {
		t.Fatal(status)
	}
	if e := s.Next(); e.Data != `{"userId":"u2"}` {
		t.Error(e)
	}
	if _, status = g.Follow(path); status != 401 {
		t.Error("the same ticket again", status)
	}
}

// TestHeartbeat is a comment, however little happens.
func TestHeartbeat(t *testing.T) {
	g := start(t, func(c *config.Config) { c.Heartbeat = time.Second })
	s := follow(g, "u1", "")
	for range 2 {
		if text := s.Comment(); text != "heartbeat" {
			t.Error(text)
		}
	}
}

// TestSlowReaderIsClosed, and costs no more than its queue.
func TestSlowReaderIsClosed(t *testing.T) {
	g := start(t, func(c *config.Config) { c.Limit.Queue, c.Limit.Message = 64*units.KiB, 64*units.KiB })
	s := follow(g, "u1", "")
	body := `{"type":"post","data":"` + strings.Repeat("x", 60<<10) + `"}`
	for range 400 { // far more than the sockets hold
		g.Await(func() bool { // a publisher may be faster than the loop
			status, _ := g.Backend("POST", "/v1/feed/u1", body)
			return status == 200
		})
	}
	events := s.Ended()
	if len(events) >= 400 {
		t.Error("all of it waited")
	}
}

// TestDisconnectFreesEverything that the stream has taken.
func TestDisconnectFreesEverything(t *testing.T) {
	g := start(t)
	s := follow(g, "u1", "")
	if g.Gauge(`weir_connections_open{transport="sse"}`) != 1 || g.Gauge("weir_channels") != 1 {
		t.Error("not counted")
	}
	s.Drop()
	g.Await(func() bool {
		return g.Gauge(`weir_connections_open{transport="sse"}`) == 0 && g.Gauge("weir_channels") == 0 && g.Gauge("weir_subscriptions") == 0
	})
}

// TestTokenExpires ends the stream and tells why.
func TestTokenExpires(t *testing.T) {
	g := start(t)
	token := g.Token("u1", func(c *auth.Claims) { c.TTL = 2 * time.Second })
	s, status := g.Follow("/feed/live", "Authorization: Bearer "+token)
	if s == nil {
		t.Fatal(status)
	}
	s.Next()
	events := s.Ended()
	if len(events) != 1 || events[0].Type != "closed" || !strings.Contains(events[0].Data, "4001") {
		t.Error(events)
	}
}

// TestDrainTellsWhenToComeBack and lets nothing accepted behind.
func TestDrainTellsWhenToComeBack(t *testing.T) {
	g := start(t)
	s := follow(g, "u1", "")
	post(g, "u1", `{"type":"post","data":1,"id":"1"}`)
	retry := s.Retry
	g.Stop()
	want(s, "post", "1", "1")
	if s.Ended(); s.Retry == retry {
		t.Error("no time to come back was told")
	}
}

// TestRestartKeepsItems when there is a data directory.
func TestRestartKeepsItems(t *testing.T) {
	dir := t.TempDir()
	data := func(c *config.Config) { c.Data = dir }
	g := start(t, data)
	post(g, "u1", `{"type":"post","data":1,"id":"x1"}`)
	post(g, "u1", `{"type":"post","data":2,"id":"x2"}`)
	g.Stop()
	g = start(t, data)
	want(follow(g, "u1", "x1"), "post", "2", "x2")
	post(g, "u1", `{"type":"post","data":"again","id":"x2"}`) // the id is known
	post(g, "u1", `{"type":"post","data":3,"id":"x3"}`)
	want(follow(g, "u1", "x2"), "post", "3", "x3")
}

// Each frame is a chunk of the body, and the last one ends it; who speaks HTTP/1.0 gets none, and the end of the
// connection in their place.
func TestStreamIsChunked(t *testing.T) {
	g := start(t)
	open := func(version string) (net.Conn, *bufio.Reader, string) {
		nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(relaytest.Patience))
		fmt.Fprintf(nc, "GET /feed/live HTTP/%s\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", version, nc.RemoteAddr(), g.Token("u5"))
		r, head := bufio.NewReader(nc), ""
		for !strings.HasSuffix(head, "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err, head)
			}
			head += line
		}
		return nc, r, head
	}
	_, r, head := open("1.1")
	_, old, oldHead := open("1.0")
	if !strings.Contains(head, "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n") || !strings.Contains(oldHead, "Connection: close\r\n") || strings.Contains(oldHead, "chunked") {
		t.Fatal(head, oldHead)
	}
	post(g, "u5", `{"type":"post","data":1,"id":"a"}`)
	g.Backend("POST", "/v1/disconnect", map[string]any{"userId": "u5"})
	var chunks []string
	for {
		line, err := r.ReadString('\n')
		size, bad := strconv.ParseUint(strings.TrimSpace(line), 16, 32)
		b := make([]byte, size+2)
		if _, short := io.ReadFull(r, b); err != nil || bad != nil || short != nil || string(b[size:]) != "\r\n" {
			t.Fatalf("%q %q %v %v", line, b, bad, short)
		}
		if size == 0 {
			break
		}
		chunks = append(chunks, string(b[:size]))
	}
	plain, err := io.ReadAll(old)
	if rest, _ := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%v, %q", err, rest)
	}
	if len(chunks) != 3 || !strings.HasPrefix(chunks[0], "retry: ") || chunks[1] != "event: post\ndata: 1\nid: a\n\n" || !strings.HasPrefix(chunks[2], "event: closed\n") {
		t.Errorf("%q", chunks)
	}
	if _, after, _ := strings.Cut(string(plain), "\n"); !strings.HasSuffix(strings.Join(chunks, ""), after) {
		t.Errorf("%q is not %q", plain, chunks)
	}
}
