package mercure_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/mercure"
)

// TestNativePublish: what a backend publishes to the hub's channel is an update, live and when somebody resumes, and each once.
func TestNativePublish(t *testing.T) {
	dir := t.TempDir()
	onDisk := func(c *config.Config, _ *mercure.Config) { c.Data = dir }
	g := start(t, onDisk)
	s := g.follow(query("topic", "https://e.com/{x}"))
	mine := g.follow("topic=a", bearer(token(nil, []string{"a"})))
	publish := func(body string, want int) any {
		t.Helper()
		status, out := g.Backend("POST", "/v1/publish", body)
		if status != want {
			t.Fatal(body, status, out)
		}
		return out
	}
	publish(`{"channel":"mercure:updates","data":{"topics":["https://e.com/1"],"data":"one\ntwo","id":"first","type":"t"}}`, 200)
	if e := s.Next(); e.Data != "one\ntwo" || e.ID != "first" || e.Type != "t" {
		t.Fatalf("%+v", e)
	}
	for range 2 {
		publish(`{"channel":"mercure:updates","data":{"topics":["a"],"private":true,"data":"hidden"},"idempotencyKey":"k1"}`, 200)
	}
	g.publish("topic", "a", "data", "form")
	expect(t, mine, "hidden", "form") // with the key it is there once
	for _, bad := range []string{
		`{"channel":"mercure:updates","data":"text"}`,
		`{"channel":"mercure:updates","data":{"data":"no topic"}}`,
		`{"channel":"mercure:updates","data":{"topics":["a"],"unknown":1}}`,
		`{"channel":"mercure:updates","data":{"topics":["a"],"id":"#x"}}`,
		`{"channel":"mercure:updates","data":{"topics":["/.well-known/mercure/subscriptions/a/b"]}}`,
		`{"channel":"mercure:updates","key":"k","data":{"topics":["a"]}}`,
		`{"channel":"mercure:updates","key":"k","op":"delete"}`,
	} {
		publish(bad, 400)
	}
	publish(`{"channel":"mercure:other","data":{"topics":["a"]}}`, 404)
	status, _, out := g.Do("POST", "/v1/publish", `{"channel":"mercure:updates","data":{"topics":["a"],"data":"line 1"}}
{"channel":"mercure:updates","data":{"topics":["a"],"data":"line 2"}}`, "Authorization: Bearer the-key-of-the-backend-in-the-tests", "Content-Type: application/x-ndjson")
	if status != 200 || strings.Contains(fmt.Sprint(out), "code") {
		t.Fatal(status, out)
	}
	expect(t, mine, "line 1", "line 2")
	g.Stop()
	g = start(t, onDisk)
	expect(t, g.follow("topic=a&lastEventID=first", bearer(token(nil, []string{"a"}))), "hidden", "form", "line 1", "line 2")
	if status, out := g.Backend("POST", "/v1/publish", `{"channel":"mercure:updates","data":{"topics":["a"],"data":"after"}}`); status != 200 {
		t.Fatal(status, out)
	}
	expect(t, g.follow("topic=a&lastEventID=first"), "form", "line 1", "line 2", "after")
}

// TestAnswerToAPublish is the id as plain text.
func TestAnswerToAPublish(t *testing.T) {
	g := start(t)
	status, h, body := g.post("topic=a&id=mine", bearer(anyone))
	if status != 200 || body != "mine" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		t.Fatal(status, h, body)
	}
}

// TestWhereATokenIs: the first place that has one counts, and a bad one there is refused whatever the others have.
func TestWhereATokenIs(t *testing.T) {
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.Anonymous, c.Cookie = false, new("hub") })
	good := token(nil, nil)
	for name, x := range map[string]struct {
		query  string
		lines  []string
		status int
	}{
		"header":                {"", []string{bearer(good)}, 200},
		"query":                 {"&authorization=" + good, nil, 200},
		"cookie":                {"", []string{"Cookie: hub=" + good}, 200},
		"the default's cookie":  {"", []string{"Cookie: mercureAuthorization=" + good}, 401},
		"header before query":   {"&authorization=" + good, []string{bearer("x")}, 401},
		"query before cookie":   {"&authorization=x", []string{"Cookie: hub=" + good}, 401},
		"good before bad":       {"&authorization=x", []string{bearer(good)}, 200},
		"GET, a foreign origin": {"", []string{"Cookie: hub=" + good, "Origin: https://evil.example"}, 200}, // the page may not read it
	} {
		s, status := g.Follow(path+"?topic=a"+x.query, x.lines...)
		if s != nil {
			status = 200
			s.Drop()
		}
		if status != x.status {
			t.Errorf("%s: %d, want %d", name, status, x.status)
		}
	}
}

// TestLastIDs: the header goes before the query, and in that lastEventID before Last-Event-ID.
func TestLastIDs(t *testing.T) {
	g := start(t)
	for i := range 4 {
		g.publish("topic", "a", "id", fmt.Sprint(i), "data", fmt.Sprint(i))
	}
	for name, x := range map[string]struct{ query, header, want string }{
		"header": {"lastEventID=0", "Last-Event-ID: 2", "2"}, "query": {"Last-Event-ID=0&lastEventID=1", "", "1"}, "parameter of the header's name": {"Last-Event-ID=1", "", "1"},
	} {
		s := g.follow("topic=a&"+x.query, x.header)
		if got := s.Header.Get("Last-Event-ID"); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
		s.Drop()
	}
}

// raw opens a stream and returns the bytes of its answer as they come.
func (g rig) raw(query string, lines ...string) *bufio.Reader {
	g.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(relaytest.Patience))
	_, err = fmt.Fprintf(nc, "GET %s?%s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, query, strings.Join(append(lines, ""), "\r\n"))
	if err != nil {
		g.Fatal(err)
	}
	return bufio.NewReader(nc)
}

// TestBytesOfAStream: headers, a comment at once, events in the order of their fields, and comments while nothing happens.
func TestBytesOfAStream(t *testing.T) {
	g := start(t, func(c *config.Config, _ *mercure.Config) { c.Heartbeat = time.Second })
	in := g.raw("topic=a")
	head := ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err, head)
		}
		head += line
	}
	for _, line := range []string{"HTTP/1.1 200 ", "Content-Type: text/event-stream\r\n", "Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n", "X-Accel-Buffering: no\r\n", "Connection: keep-alive\r\n"} {
		if !strings.Contains(strings.ToLower(head), strings.ToLower(line)) {
			t.Errorf("%q is missing in %s", line, head)
		}
	}
	next := func() string { // without the sizes of chunks and empty lines
		t.Helper()
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(line, "\r\n") || line == "\n" {
				continue
			}
			return line
		}
	}
	for range 2 { // the one at once, and a heartbeat
		if line := next(); line[0] != ':' {
			t.Fatalf("%q", line)
		}
	}
	g.publish("topic", "a", "id", "i", "type", "t", "retry", "5", "data", "1\r2")
	var lines []string
	for len(lines) < 5 {
		if line := next(); line[0] != ':' {
			lines = append(lines, line)
		}
	}
	if want := []string{"event: t\n", "retry: 5\n", "id: i\n", "data: 1\n", "data: 2\n"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

// TestStreamsEnd by the hub's bound and by that of the token.
func TestStreamsEnd(t *testing.T) {
	for name, x := range map[string]struct {
		lifetime time.Duration
		exp      time.Duration
	}{"lifetime": {time.Second, time.Hour}, "exp": {time.Hour, 3 * time.Second}} {
		g := start(t, func(_ *config.Config, c *mercure.Config) { c.Lifetime = x.lifetime })
		in := g.raw("topic=a", bearer(token(nil, nil, jwt.MapClaims{"exp": time.Now().Add(x.exp).Unix()})))
		if out, err := io.ReadAll(in); err != nil || !strings.HasPrefix(string(out), "HTTP/1.1 200 ") {
			t.Fatal(name, err, string(out))
		}
	}
}

// TestBounds: a subscription has at most 1000 topics, and an update that comes with QUERY is not taken for one.
func TestBounds(t *testing.T) {
	g := start(t)
	kind := "Content-Type: application/x-www-form-urlencoded"
	for n, want := range map[int]int{1001: 413} {
		if status, _, _ := g.request("QUERY", path, strings.Repeat("match=a&", n), kind); status != want {
			t.Error(n, status)
		}
	}
	if status, _, _ := g.request("QUERY", path, "topic=a", kind); status != 400 {
		t.Error("topic in a QUERY:", status)
	}
}

// TestNobodyElseSeesSubscriptions: events about subscriptions are private.
func TestNobodyElseSeesSubscriptions(t *testing.T) {
	g := start(t)
	all := g.follow("topic=*")
	other := g.follow("topic=*", bearer(token(nil, []string{"a", path + "/subscriptions/b/{subscriber}"})))
	s := g.follow("topic=a")
	g.publish("topic", "a", "data", "x")
	for _, x := range []*relaytest.Stream{all, other, s} {
		expect(t, x, "x")
	}
}

// TestSharedFrames: subscribers with the same selectors and rights are one class, whatever their order and number.
func TestSharedFrames(t *testing.T) {
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.Subscriptions = false })
	var list []*relaytest.Stream
	for i := range 40 {
		q := query("topic", "a", "topic", "https://e.com/{x}")
		if i%2 == 1 {
			q = query("topic", "https://e.com/{x}", "topic", "a", "topic", "a")
		}
		list = append(list, g.follow(q, bearer(token(nil, []string{"p", "q"}))))
	}
	other := g.follow(query("topic", "a", "topic", "https://e.com/{x}"))
	if classes, selectors := g.Gauge("weir_mercure_classes"), g.Gauge("weir_mercure_selectors"); classes != 2 || selectors != 4 {
		t.Error(classes, selectors)
	}
	g.publish("topic", "a", "topic", "p", "private", "on", "data", "private")
	g.publish("topic", "https://e.com/1", "data", "public")
	for _, s := range list {
		expect(t, s, "private", "public")
	}
	expect(t, other, "public")
}

// TestResumeWithoutGap has clients come and go while updates are published: each gets every update once and in order.
func TestResumeWithoutGap(t *testing.T) {
	const updates, clients = 400, 6
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.Subscriptions = false })
	g.publish("topic", "a", "id", "0", "data", "0")
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() { // ends with the last update
			last := "0"
			for want := 1; want <= updates; {
				r, err := http.NewRequest("GET", g.URL+path+"?topic=a", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Last-Event-ID", last)
				a, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				in := bufio.NewScanner(a.Body)
				for some := 0; some < 10+n*7 && want <= updates && in.Scan(); {
					if id, ok := strings.CutPrefix(in.Text(), "id: "); ok {
						if id != fmt.Sprint(want) {
							t.Errorf("client %d got %s, want %d", n, id, want)
							want = updates
						}
						last = id
						want++
						some++
					}
				}
				_ = a.Body.Close()
			}
		})
	}
	for i := range updates {
		form := url.Values{"topic": {"a"}, "id": {fmt.Sprint(i + 1)}, "data": {fmt.Sprint(i + 1)}}
		if status, _, body := g.post(form.Encode(), bearer(anyone)); status != 200 {
			t.Fatal(status, body)
		}
	}
	group.Wait()
}

// TestEndedWhileItBegins: of clients that go away at once nothing is left.
func TestEndedWhileItBegins(t *testing.T) {
	g := start(t)
	for i := range 300 {
		nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(nc, "GET %s?topic=a HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			_, _ = nc.Read(make([]byte, 1))
		}
		_ = nc.(*net.TCPConn).SetLinger(0)
		_ = nc.Close()
	}
	last := g.follow("topic=a")
	g.publish("topic", "a", "data", "x")
	expect(t, last, "x")
	watch := token(nil, []string{path + "/subscriptions"})
	relaytest.Until(t, "one is left", func() bool {
		list, _ := g.subscriptions(watch)
		return len(list) == 1 && g.Gauge("weir_mercure_subscribers") == 1 && g.Gauge("weir_mercure_classes") == 1
	})
}
