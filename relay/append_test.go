package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"weir/relay/config"
)

// each has the namespace "each": held, and not conflated.
func each(c *config.Config) {
	no := false
	ns := c.Namespaces["held"]
	ns.Batch.Conflate = &no
	c.Namespaces["each"] = ns
}

// Who knows appends gets them, joined within a window; everybody else gets the item as it then was, by whatever way.
func TestAppendEnvelopes(t *testing.T) {
	g := open(t, each, func(c *config.Config) { c.Compression = true })
	token := "Authorization: Bearer " + mint(t, "u1")
	knows := []*client{g.named("u1", "features=append,fork"), {wsPeer: g.wsOn(g.dial(), "/ws?features=append", token, "Sec-WebSocket-Protocol: weir"), rig: g}}
	others := []*client{g.client("u1"), g.brief("u1"), g.named("u1", "features=fork")}
	deflated := g.deflating("u1")
	streams := map[*ssePeer]bool{
		g.sseWith("/sse?channel=held:a&channel=each:a&features=append", token): true, g.sse("u1", "held:a", "each:a"): false,
	}
	for _, c := range append(append([]*client{deflated}, knows...), others...) {
		c.subscribe("held:a", "")
		c.subscribe("each:a", "")
	}
	group := g.client("u1")
	group.subscribe("held:a", `,"groups":["answers"]`)
	for p := range streams {
		for range 4 {
			p.event()
		}
	}
	// told is what those who know appends are told, the others, and those who know them in the short form.
	told := func(channel, appends, sets, short string) {
		t.Helper()
		g.flush()
		knows[0].exactly(appends)
		knows[1].exactly(short)
		others[0].exactly(sets)
		others[1].exactly(sets)
		others[2].exactly(sets)
		if channel == "held:a" {
			group.exactly(sets)
		}
		for p, knows := range streams {
			want := sets
			if knows {
				want = appends
			}
			if e := p.event(); e.data != want || e.id == "" {
				t.Fatalf("event %+v\nwant  %s", e, want)
			}
		}
		if raw, err := deflated.text(); err != nil || string(raw) != sets {
			t.Fatalf("compressed %s %v", raw, err)
		}
	}
	more := func(channel, data string) {
		g.post(`"channel":"%s","op":"append","group":"answers","key":"a7","data":"%s"`, channel, data)
	}
	more("held:a", "Hello")
	one := `{"type":"channel_update","channel":"held:a","seq":1,"op":"append","group":"answers","key":"a7","data":"Hello"}`
	told("held:a", one, strings.Replace(one, "append", "set", 1), one)
	for _, token := range []string{", ", "w\\u00f6r", "ld"} {
		more("held:a", token)
	}
	joined := `{"type":"channel_update","channel":"held:a","seq":4,"op":"append","group":"answers","key":"a7","data":", w\u00f6rld"}`
	told("held:a", joined, `{"type":"channel_update","channel":"held:a","seq":4,"op":"set","group":"answers","key":"a7","data":"Hello, w\u00f6rld"}`, joined)
	for _, token := range []string{"a", "b"} {
		more("each:a", token)
	}
	appends, sets := `{"seq":1,"op":"append","group":"answers","key":"a7","data":"a"},{"seq":2,"op":"append","group":"answers","key":"a7","data":"b"}`,
		`{"type":"channel_update","channel":"each:a","seq":2,"op":"set","group":"answers","key":"a7","data":"ab"}`
	envelope := `{"type":"batch","channel":"each:a","messages":[` + appends + `]}`
	told("each:a", strings.ReplaceAll(envelope, `{"seq"`, `{"type":"channel_update","channel":"each:a","seq"`), sets, envelope)
}

// A user's own channel, too.
func TestAppendToAUsersChannel(t *testing.T) {
	g := open(t)
	c, other := g.named("u1", "features=append"), g.client("u1")
	for i, token := range []string{"a", "b"} {
		g.post(`"channel":"user:u1","op":"append","key":"k","data":"%s"`, token)
		c.exactly(fmt.Sprintf(`{"type":"update","seq":%d,"op":"append","group":"items","key":"k","data":"%s"}`, i+1, token))
		other.exactly(fmt.Sprintf(`{"type":"update","seq":%d,"op":"set","group":"items","key":"k","data":"%s"}`, i+1, "ab"[:i+1]))
	}
}

// Latecomers, those who come back and those who ask for history have the text so far, and go on with it.
func TestAppendAndResume(t *testing.T) {
	g := open(t)
	more := func(data string) position {
		return g.post(`"channel":"a","op":"append","group":"g","key":"k","data":"%s"`, data)
	}
	first := more("a")
	more("b")
	from := fmt.Sprintf(`,"position":%s`, first.json())
	knows, other := g.named("u1", "features=append"), g.client("u1")
	if h := knows.subscribe("a", ""); string(h.State["g"]["k"]) != `"ab"` {
		t.Error(h.raw)
	}
	want := `"changes":[{"seq":2,"op":"append","group":"g","key":"k","data":"b"},{"seq":3,"op":"append","group":"g","key":"k","data":"c"}]`
	wantSet := `"changes":[{"seq":3,"op":"set","group":"g","key":"k","data":"abc"}]`
	more("c")
	knows.change(3, `"c"`)
	if h := other.subscribe("a", from); !strings.Contains(h.raw, wantSet) {
		t.Error(h.raw)
	}
	late := g.named("u1", "features=append")
	if h := late.subscribe("a", from); !strings.Contains(h.raw, want) {
		t.Error(h.raw)
	}
	named := g.named("u1", "features=append&channel=a&position="+fmt.Sprintf("%s:%d", first.Epoch, first.Seq))
	if h := named.hear(); !strings.Contains(h.raw, want) {
		t.Error(h.raw)
	}
	more("d")
	for _, c := range []*client{knows, late, named} {
		c.change(4, `"d"`)
	}
	other.change(4, `"abcd"`)
	// A page that does not reach the head: the text is what it was.
	page := `{"type":"history","id":1,"channel":"a","before":4,"limit":2}`
	if h := knows.ask("%s", page); !strings.Contains(h.raw, want) {
		t.Error(h.raw)
	}
	if h := other.ask("%s", page); !strings.Contains(h.raw, wantSet) {
		t.Error(h.raw)
	}
	if a := g.command("u1", page); !strings.Contains(a.body, wantSet) {
		t.Error(a.body)
	}
	for query, want := range map[string]string{"": wantSet, "&features=append": want} {
		if a := g.api(200, "GET", "/v1/channels/a/history?before=4&limit=2"+query, ""); !strings.Contains(a.body, want) {
			t.Error(a.body)
		}
	}
	if a := g.api(200, "GET", "/v1/channels/a/g/k", ""); !strings.Contains(a.body, `"data":"abcd"`) {
		t.Error(a.body)
	}
	// What the log does not have any more comes as a snapshot, and goes on.
	clear := g.named("u1", "features=append")
	if h := clear.subscribe("a", `,"position":{"epoch":"other","seq":3}`); !h.Lost || string(h.State["g"]["k"]) != `"abcd"` {
		t.Error(h.raw)
	}
	more("e")
	clear.change(5, `"e"`)
}

// A publication that repeats what was done, or is wrong, changes nothing and says what would be right.
func TestAppendIsRefused(t *testing.T) {
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Limit.Message = 64
		c.Namespaces["default"] = ns
	})
	refused := func(status int, body string) map[string]any {
		t.Helper()
		a := g.api(status, "POST", "/v1/publish", body)
		var problem map[string]any
		if err := json.Unmarshal([]byte(a.body), &problem); err != nil {
			t.Fatal(err)
		}
		return problem
	}
	item := `"channel":"a","op":"append","group":"g","key":"k"`
	g.post(`%s,"data":"aé","offset":0`, item)
	if p := refused(409, `{`+item+`,"data":"aé","offset":0}`); p["code"] != "wrong_offset" || p["offset"] != 2.0 || !strings.Contains(fmt.Sprint(p["title"]), "must be 2") {
		t.Error(p)
	}
	at := g.post(`%s,"data":"b","offset":2,"idempotencyKey":"i"`, item)
	if again := g.post(`%s,"data":"b","offset":2,"idempotencyKey":"i"`, item); again != at {
		t.Errorf("again %v, not %v", again, at)
	}
	for body, want := range map[string]string{
		`"data":7`:                "bad_request",
		`"data":{"a":"b"}`:        "bad_request",
		`"data":null`:             "bad_request",
		`"offset":1`:              "bad_request",
		`"data":"x","offset":-1`:  "bad_request",
		`"data":"x","offset":"1"`: "bad_request",
		`"data":"` + strings.Repeat("x", 62) + `"`: "too_large",
		`"data":"` + strings.Repeat("x", 63) + `"`: "too_large",
	} {
		status := map[string]int{"bad_request": 400, "too_large": 413}[want]
		if p := refused(status, `{`+item+`,`+body+`}`); p["code"] != want {
			t.Errorf("%s: %v", body, p)
		}
	}
	for body, status := range map[string]int{
		`{"channel":"a","op":"append","data":"x"}`:                   400,
		`{"channel":"a","op":"set","key":"k","data":"x","offset":1}`: 400,
		`{"channel":"a","data":"x","offset":1}`:                      400,
	} {
		refused(status, body)
	}
	g.post(`"channel":"a","group":"g","key":"n","data":{"not":"text"}`)
	if p := refused(409, `{"channel":"a","op":"append","group":"g","key":"n","data":"x"}`); p["code"] != "not_text" {
		t.Error(p)
	}
	// The same over a WebSocket, and one a line.
	c := g.client("u1")
	if h := c.ask(`{"type":"publish","id":"x",%s,"data":"c","offset":9}`, item); h.Code != "wrong_offset" || !strings.Contains(h.raw, `,"offset":3,`) {
		t.Error(h.raw)
	}
	if h := c.ask(`{"type":"publish","id":"x",%s,"data":"c","offset":3}`, item); h.Type != "ok" {
		t.Error(h.raw)
	}
	lines := g.ask("POST", "/v1/publish", "{"+item+`,"data":"d","offset":4}`+"\n{"+item+`,"data":"d","offset":4}`+"\n{"+item+`,"data":"e"}`,
		"Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	if got := strings.Split(strings.TrimSpace(lines.body), "\n"); lines.StatusCode != http.StatusOK || len(got) != 3 || !strings.Contains(got[1], `"code":"wrong_offset"`) || !strings.Contains(got[1], `"offset":5`) {
		t.Errorf("%d %s", lines.StatusCode, lines.body)
	}
	if a := g.api(200, "GET", "/v1/channels/a/g/k", ""); !strings.Contains(a.body, `"data":"aébcde"`) {
		t.Error(a.body)
	}
}

// A reader that was too slow gets the text as it is, and goes on from there.
func TestAppendToASlowReader(t *testing.T) {
	g := open(t)
	c := g.named("u1", "features=append")
	c.subscribe("a", "")
	g.post(`"channel":"a","op":"append","key":"k","data":"a"`)
	c.change(1, `"a"`)
	g.post(`"channel":"a","op":"append","key":"k","data":"b"`)
	c.change(2, `"b"`)
	s := c.session()
	s.ResyncNow(s.Topic("a"))
	if h := c.hear(); h.Type != "resync" || string(h.State["items"]["k"]) != `"ab"` {
		t.Error(h.raw)
	}
	g.post(`"channel":"a","op":"append","key":"k","data":"c"`)
	c.change(3, `"c"`)
}
