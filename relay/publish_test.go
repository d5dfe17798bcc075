package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
	"weir/relay/problem"
)

// What is published and what subscribers are then told, byte for byte.
func TestPublishOps(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("a", "")
	for i, test := range []struct{ published, told string }{
		{`"data":1`, `"op":"send","data":1`},
		{`"data":null`, `"op":"send","data":null`},
		{`"op":"send","data":"x","group":"g"`, `"op":"send","group":"g","data":"x"`},
		{`"op":"send","data":"x","key":"k"`, `"op":"send","group":"items","key":"k","data":"x"`},
		{`"key":"k","data":{"b":[1,2.50,-0,1e5],"a":"\u00e4ä\/"}`, `"op":"set","group":"items","key":"k","data":{"b":[1,2.50,-0,1e5],"a":"\u00e4ä\/"}`},
		{`"data":{ "pretty" :` + "\r\n\t" + `1 }, "key":"k"`, `"op":"set","group":"items","key":"k","data":{ "pretty" :  	1 }`},
		{`"op":"set","group":"a/b","key":"c=d@e~f","data":"<script>&\u2028"`, `"op":"set","group":"a/b","key":"c=d@e~f","data":"<script>&\u2028"`},
		{`"op":"delete","key":"k"`, `"op":"delete","group":"items","key":"k"`},
		{`"op":"delete","group":"a/b","key":"c=d@e~f","data":"ignored"`, `"op":"delete","group":"a/b","key":"c=d@e~f"`},
		{`"data":"` + strings.Repeat("x", 200) + `"`, `"op":"send","data":"` + strings.Repeat("x", 200) + `"`},           // 16 bits of length
		{`"data":"` + strings.Repeat("x", 64<<10-2) + `"`, `"op":"send","data":"` + strings.Repeat("x", 64<<10-2) + `"`}, // 64 bits
	} {
		at := g.post(`"channel":"a",%s`, test.published)
		if at.Seq != uint64(i+1) {
			t.Errorf("%.100s: position %v", test.published, at)
		}
		c.exactly(fmt.Sprintf(`{"type":"channel_update","channel":"a","seq":%d,%s}`, at.Seq, test.told))
	}
	at := g.post(`"channel":"a","op":"delete","key":"k"`)
	if again := g.post(`"channel":"a","op":"delete","key":"other"`); again != at || at.Seq != 11 {
		t.Errorf("deletes of what is not there: %v, %v", at, again)
	}
	c.quiet()
	if a := g.api(200, "GET", "/v1/channels/a", ""); a.body != `{"channel":"a","position":`+at.json()+`,"state":{}}` {
		t.Error(a.body)
	}
}

func TestClientPublish(t *testing.T) {
	g := open(t)
	one, two := g.client("u1"), g.client("u2")
	epoch := one.subscribe("held:1", "").Position.Epoch
	two.say(`{"type":"publish","id":"p","channel":"held:1","key":"k","data":{"n":1}}`)
	two.exactly(`{"type":"ok","id":"p","position":{"epoch":"` + epoch + `","seq":1}}`)
	two.say(`{"type":"publish","channel":"held:1","data":2,"exclude":"` + one.hello.ConnectionID + `"}`) // is not a client's to say
	two.exactly(`{"type":"ok","position":{"epoch":"` + epoch + `","seq":2}}`)
	g.flush()
	one.change(1, `{"n":1}`)
	one.change(2, "2")
}

// An item with a time to live ends with a delete that says so; setting it again gives it another life.
func TestTimeToLive(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("a", "")
	g.post(`"channel":"a","key":"k","data":1,"ttl":86400000`)
	g.post(`"channel":"a","key":"k","data":2,"ttl":1`)
	g.post(`"channel":"a","key":"ever","data":3,"ttl":0`)
	for set, deleted := false, false; !set || !deleted; {
		h := c.hear()
		set = set || h.Key == "ever"
		if h.Op == "delete" {
			deleted = true
			if h.Key != "k" || h.Cause != "expired" || h.Group != "items" || h.Data != nil {
				t.Errorf("%+v", h)
			}
		}
	}
	c.quiet()
	a := g.api(200, "GET", "/v1/channels/a/history", "")
	if !strings.Contains(a.body, `,"op":"delete","group":"items","key":"k","cause":"expired"}`) {
		t.Error(a.body)
	}
	late := g.client("u2").subscribe("a", "")
	if len(late.State["items"]) != 1 || string(late.State["items"]["ever"]) != "3" {
		t.Error(late.raw)
	}
}

// The same key within its time answers the first position and publishes nothing; keys of different users
// and of backends have nothing to do with each other.
func TestIdempotency(t *testing.T) {
	g := open(t)
	c := g.client("watcher")
	c.subscribe("a", "")
	first := g.post(`"channel":"a","data":1,"idempotencyKey":"same"`)
	for range 3 {
		if at := g.post(`"channel":"a","data":2,"idempotencyKey":"same"`); at != first {
			t.Errorf("repeated: %v after %v", at, first)
		}
	}
	c.change(1, "1")
	for i, user := range []string{"u1", "u2"} {
		p := g.client(user)
		for range 2 { // of one connection
			if h := p.ask(`{"type":"publish","channel":"a","data":"%s","idempotencyKey":"same"}`, user); h.Position.Seq != uint64(i+2) {
				t.Errorf("%s: %s", user, h.raw)
			}
		}
		if h := g.client(user).ask(`{"type":"publish","channel":"a","data":7,"idempotencyKey":"same"}`); h.Position.Seq != uint64(i+2) {
			t.Errorf("%s, another connection: %s", user, h.raw)
		}
		c.change(uint64(i+2), `"`+user+`"`)
	}
	if at := g.post(`"channel":"b","data":1,"idempotencyKey":"same"`); at.Seq != 1 {
		t.Errorf("another channel: %v", at)
	}
	c.quiet()
	long := strings.Repeat("k", 257)
	g.api(200, "POST", "/v1/publish", `{"channel":"a","data":1,"idempotencyKey":"`+long[:256]+`"}`)
	g.api(400, "POST", "/v1/publish", `{"channel":"a","data":1,"idempotencyKey":"`+long+`"}`)
	p := g.client(strings.Repeat("u", 128))
	if h := p.ask(`{"type":"publish","channel":"a","data":1,"idempotencyKey":"%s"}`, long[:256]); h.Type != "ok" {
		t.Error(h.raw)
	}
	p.refused("bad_request", `{"type":"publish","id":"x","channel":"a","data":1,"idempotencyKey":"%s"}`, long)
}

// A connection that is excluded misses that change live, wherever it stands in a batch, and nobody else
// does; its position goes on all the same.
func TestExclude(t *testing.T) {
	g := open(t)
	one, two, grouped := g.client("u1"), g.client("u2"), g.client("u1")
	stream := g.follow("u3", "", "held:1")
	connected := stream.hear()
	for range 2 {
		stream.hear()
	}
	one.subscribe("held:1", "")
	two.subscribe("held:1", "")
	grouped.subscribe("held:1", `,"groups":["g"]`)
	g.post(`"channel":"held:1","group":"g","key":"k","data":1,"exclude":"%s"`, one.hello.ConnectionID)
	g.post(`"channel":"held:1","group":"g","key":"k","data":2,"exclude":"%s"`, grouped.hello.ConnectionID)
	g.post(`"channel":"held:1","data":3,"exclude":"%s"`, connected.ConnectionID)
	g.post(`"channel":"held:1","data":4,"exclude":"nobody"`)
	g.flush()
	one.change(2, "2")
	one.change(3, "3")
	one.change(4, "4")
	for i := range 4 {
		two.change(uint64(i+1), fmt.Sprint(i+1))
	}
	grouped.change(1, "1")
	for _, want := range []string{"1", "2", "4"} {
		if h := stream.hear(); string(h.Data) != want {
			t.Errorf("stream: %s %+v, want %s", h.raw, h, want)
		}
	}
	// All by itself: nothing is sent to the excluded at all.
	at := g.post(`"channel":"held:1","data":5,"exclude":"%s"`, one.hello.ConnectionID)
	one.quiet()
	two.change(5, "5")
	if h := one.ask(`{"type":"unsubscribe","channel":"held:1"}`); h.Type != "ok" {
		t.Error(h.raw)
	}
	at.Seq--
	if h := one.subscribe("held:1", `,"position":`+at.json()); len(h.Changes) != 1 { // what it asks for it gets
		t.Error(h.raw)
	}
}

func TestPublishRefused(t *testing.T) {
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Limit.Items = 2
		c.Namespaces["few"] = ns
		ns.Limit.Message = 1 << 10
		c.Namespaces["small"] = ns
		ns.Limit.Rate = units.Rate{Count: 1, Per: time.Hour}
		c.Namespaces["seldom"] = ns
	})
	for i := range 2 {
		g.post(`"channel":"few:1","key":"%d","data":1`, i)
	}
	large := `"` + strings.Repeat("x", 64<<10) + `"`
	for _, test := range []struct {
		body   string
		status int
		code   string
	}{
		{``, 400, "invalid_json"},
		{`[]`, 400, "invalid_json"},
		{`{"channel":"a","data":1}{}`, 400, "invalid_json"},
		{`{"channel":"a","data":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 400, "invalid_json"},
		{`{}`, 400, "bad_channel"},
		{`{"channel":"a b","data":1}`, 400, "bad_channel"},
		{`{"channel":"` + strings.Repeat("a", 256) + `","data":1}`, 400, "bad_channel"},
		{`{"channel":"a"}`, 400, "bad_request"},
		{`{"channel":"a","data":1,"op":"increment"}`, 400, "bad_request"},
		{`{"channel":"a","data":1,"op":"set"}`, 400, "bad_request"},
		{`{"channel":"a","op":"delete"}`, 400, "bad_request"},
		{`{"channel":"a","data":1,"key":"` + strings.Repeat("k", 129) + `"}`, 400, "bad_name"},
		{`{"channel":"a","data":1,"key":"k","group":"a b"}`, 400, "bad_name"},
		{`{"channel":"a","data":1,"key":"k","ttl":-5}`, 400, "bad_request"},
		{`{"channel":"a","data":1,"key":"k","ttl":99999999999999}`, 400, "bad_request"},
		{`{"channel":"a","data":1,"data":2}`, 400, "bad_request"},
		{`{"channel":"few:1","data":1,"key":"third"}`, 409, "too_many_items"},
		{`{"channel":"a","data":` + large + `}`, 413, "too_large"},
		{`{"channel":"small:1","data":` + large[:1<<10] + `"}`, 413, "too_large"},
	} {
		a := g.api(test.status, "POST", "/v1/publish", test.body)
		wantProblem(t, a, test.status, test.code)
	}
	if at := g.post(`"channel":"a","data":1`); at.Seq != 1 {
		t.Errorf("what was refused took a position: %v", at)
	}
	c := g.client("u1")
	c.refused("too_large", `{"id":"x","type":"publish","channel":"small:1","data":%s"}`, large[:1<<10])
	c.refused("too_many_items", `{"id":"x","type":"publish","channel":"few:1","key":"third","data":1}`)
	for range 2 { // the burst
		c.ask(`{"type":"publish","channel":"seldom:1","data":1}`)
	}
	h := c.ask(`{"id":"x","type":"publish","channel":"seldom:1","data":1}`)
	if h.raw != `{"type":"error","id":"x","code":"rate_limited","message":"too many requests","retryable":true}` {
		t.Error(h.raw)
	}
	if h := c.ask(`{"type":"publish","channel":"a","data":1}`); h.Type != "ok" { // another namespace
		t.Error(h.raw)
	}
	if h := g.client("u1").ask(`{"type":"publish","channel":"seldom:1","data":1}`); h.Type != "ok" { // another connection
		t.Error(h.raw)
	}
}

// wantProblem checks an answer that refuses: RFC 9457, with a stable code.
func wantProblem(t testing.TB, a answered, status int, code string) {
	t.Helper()
	kind := a.Header.Get("Content-Type")
	prefix, suffix := `{"type":"about:blank","title":"`, fmt.Sprintf(`","status":%d,"code":"%s"}`, status, code)
	if at := strings.Index(a.body, `,"detail":"`); at > 0 { // which says more
		a.body = a.body[:at] + "}"
	}
	if a.StatusCode != status || kind != "application/problem+json" || !strings.HasPrefix(a.body, prefix) || !strings.HasSuffix(a.body, suffix) {
		t.Errorf("%s %s %s, want %d %s", a.Status, kind, a.body, status, code)
	}
}

// Each line of NDJSON is answered by a line, in order, whatever becomes of the others.
func TestPublishLines(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	epoch := c.subscribe("held:1", "").Position.Epoch
	lines := []string{
		`{"channel":"held:1","data":1}`,
		``,
		`{"channel":"held:1","data":`,
		`  {"channel":"held:1","key":"k","data":[ 2 ]}  ` + "\r",
		`{"channel":"a b","data":3}`,
		" \t\r",
		`{"channel":"held:1"}`,
		`{"channel":"held:1","data":"\n"}`,
		`{"channel":"held:1","data":5}`,
	}
	want := fmt.Sprintf(`{"position":{"epoch":"%[1]s","seq":1}}
{"code":"invalid_json","message":"Invalid message format","detail":"not valid JSON, at byte 27","line":3}
{"position":{"epoch":"%[1]s","seq":2}}
{"code":"bad_channel","message":"channel must be 1 to 255 of A-Z a-z 0-9 _ - . : / @ ~ = and not begin with a dot","line":5}
{"code":"bad_request","message":"data is missing","line":7}
{"position":{"epoch":"%[1]s","seq":3}}
{"position":{"epoch":"%[1]s","seq":4}}
`, epoch)
	for _, end := range []string{"", "\n"} {
		a := g.ask("POST", "/v1/publish", strings.Join(lines, "\n")+end, "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson; charset=utf-8")
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" || a.body != want {
			t.Fatalf("%s %v\ngot  %s\nwant %s", a.Status, a.Header, a.body, want)
		}
		for i := range 4 {
			want = strings.Replace(want, fmt.Sprintf(`"seq":%d}`, i+1), fmt.Sprintf(`"seq":%d}`, i+5), 1)
		}
	}
	g.flush()
	for i, data := range []string{"1", "[ 2 ]", `"\n"`, "5"} {
		if i == 1 { // conflated with the second round's
			continue
		}
		c.change(uint64(i+1), data)
	}
	for i, data := range []string{"1", "[ 2 ]", `"\n"`, "5"} {
		c.change(uint64(i+5), data)
	}
}

func TestPublishMediaTypes(t *testing.T) {
	g := open(t)
	for kind, status := range map[string]int{
		"":                                  200,
		"application/json":                  200,
		"application/json; charset=utf-8":   200,
		"application/x-www-form-urlencoded": 200, // curl -d
		"text/plain":                        200,
		"application/x-ndjson":              200,
		"application/xml":                   415,
	} {
		a := g.ask("POST", "/v1/publish", `{"channel":"a","data":1}`, "Authorization: Bearer "+apiKey, "Content-Type: "+kind)
		if a.StatusCode != status {
			t.Errorf("%q: %s %s", kind, a.Status, a.body)
		}
		if status == 415 {
			wantProblem(t, a, 415, "media_type")
		}
	}
}

// A channel that gets more than its readers can be told refuses more, and no other does.
func TestFullWindow(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("a", "")
	release := c.stall()
	body := []byte(`{"channel":"a","data":"` + strings.Repeat("x", 60<<10) + `"}`)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, err = g.relay.publishOne(nil, body)
	}
	if problem.Of(err) != problem.Overloaded {
		t.Errorf("%v", err)
	}
	wantProblem(t, g.api(503, "POST", "/v1/publish", `{"channel":"a","data":1}`), 503, "overloaded")
	g.post(`"channel":"b","data":1`)
	release()
	g.until("it takes more", func() bool { _, err := g.relay.publishOne(nil, body); return err == nil })
}

// When more is accepted in all than can be delivered, publishers are told to come back later, nobody loses
// anything, and it is over when the backlog is.
func TestOverloaded(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	const channels = 120 // so many, or one window would be full before the batcher is
	for i := range channels {
		c.subscribe(fmt.Sprint("a", i), "")
	}
	publisher := g.client("u2")
	release := c.stall()
	blob := strings.Repeat("x", 60<<10)
	accepted := 0
	for ; !g.relay.hub.Full(); accepted++ {
		body := fmt.Appendf(nil, `{"channel":"a%d","data":"%s"}`, accepted%channels, blob)
		if _, err := g.relay.publishOne(nil, body); err != nil {
			t.Fatal(err)
		}
	}
	if accepted < 500 {
		t.Errorf("full after %d messages", accepted)
	}
	a := g.api(503, "POST", "/v1/publish", `{"channel":"b","data":1}`)
	wantProblem(t, a, 503, "overloaded")
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("%v", a.Header)
	}
	wantProblem(t, g.api(503, "POST", "/v1/events", `{"topic":"b","data":1}`), 503, "overloaded")
	lines := g.ask("POST", "/v1/publish", `{"channel":"b","data":1}`, "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	if lines.StatusCode != 200 || lines.body != `{"code":"overloaded","message":"the relay is overloaded","line":1}`+"\n" {
		t.Errorf("%s %s", lines.Status, lines.body)
	}
	if h := publisher.ask(`{"type":"publish","id":1,"channel":"b","data":1}`); h.Code != "overloaded" || !h.Retryable {
		t.Error(h.raw)
	}
	if got := g.adminStatus("/readyz"); got != 503 {
		t.Errorf("ready while overloaded: %d", got)
	}
	release()
	last := make(map[string]uint64)
	for n := range accepted { // the queue of the connection is bounded, and it reads
		h, err := c.try()
		if err != nil {
			if e := (closedWith{}); !errors.As(err, &e) || e.code != 4008 { // or it was too slow for all at once
				t.Errorf("after %d: %v", n, err)
			}
			break
		}
		if h.Seq != last[h.Channel]+1 {
			t.Fatalf("change %d of %s, want %d", h.Seq, h.Channel, last[h.Channel]+1)
		}
		last[h.Channel] = h.Seq
	}
	g.until("it takes more", func() bool { return !g.relay.hub.Full() })
	g.post(`"channel":"b","data":1`)
	if got := g.adminStatus("/readyz"); got != 200 {
		t.Errorf("ready afterwards: %d", got)
	}
}
