package relay

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// What the routes of a channel answer, byte for byte.
func TestChannelRoutes(t *testing.T) {
	g := open(t)
	epoch := g.post(`"channel":"a","key":"k","data":1`).Epoch
	g.post(`"channel":"a","group":"g","key":"x","data":{"b": 2}`)
	g.post(`"channel":"a","group":"g","key":"y","data":"three"`)
	g.post(`"channel":"a","data":4`)
	at := func(seq uint64) string { return `"position":` + position{epoch, seq}.json() }
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/v1/channels/a", 200, `{"channel":"a",` + at(4) + `,"state":{"g":{"x":{"b": 2},"y":"three"},"items":{"k":1}}}`},
		{"GET", "/v1/channels/a/g", 200, `{"channel":"a","group":"g",` + at(4) + `,"items":{"x":{"b": 2},"y":"three"}}`},
		{"GET", "/v1/channels/a/none", 200, `{"channel":"a","group":"none",` + at(4) + `,"items":{}}`},
		{"GET", "/v1/channels/a/g/x", 200, `{"channel":"a","group":"g","key":"x",` + at(4) + `,"data":{"b": 2}}`},
		{"GET", "/v1/channels/a/items/k", 200, `{"channel":"a","group":"items","key":"k",` + at(4) + `,"data":1}`},
		{"GET", "/v1/channels/a/history?limit=2", 200, `{"channel":"a",` + at(4) + `,"changes":[{"seq":3,"op":"set","group":"g","key":"y","data":"three"},{"seq":4,"op":"send","data":4}],"more":true}`},
		{"GET", "/v1/channels/a/history?before=2", 200, `{"channel":"a",` + at(4) + `,"changes":[{"seq":1,"op":"set","group":"items","key":"k","data":1}],"more":false}`},
		{"GET", "/v1/channels/a/history?before=1", 200, `{"channel":"a",` + at(4) + `,"changes":[],"more":false}`},
		{"GET", "/v1/channels/a/history?before=99&limit=1", 200, `{"channel":"a",` + at(4) + `,"changes":[{"seq":4,"op":"send","data":4}],"more":true}`},
		{"GET", "/v1/channels/a/presence", 200, `{"channel":"a","users":[],"count":0}`},
		{"GET", "/v1/channels/a/presence?count", 200, `{"channel":"a","count":0}`},
		{"GET", "/v1/channels/nobody/presence", 200, `{"channel":"nobody","users":[],"count":0}`},
		{"DELETE", "/v1/channels/a/g/x", 200, `{` + at(5) + `}`},
		{"DELETE", "/v1/channels/a/g/x", 404, ""},
		{"GET", "/v1/channels/a/g/x", 404, ""},
		{"DELETE", "/v1/channels/a/g", 200, `{` + at(6) + `,"deleted":1}`},
		{"DELETE", "/v1/channels/a/g", 404, ""},
		{"DELETE", "/v1/channels/none/g", 404, ""},
		{"DELETE", "/v1/channels/none/g/k", 404, ""},
		{"DELETE", "/v1/channels/none", 404, ""},
		{"GET", "/v1/channels/none", 404, ""},
		{"GET", "/v1/channels/none/g", 404, ""},
		{"GET", "/v1/channels/none/g/k", 404, ""},
		{"GET", "/v1/channels/none/history", 404, ""},
	} {
		a := g.api(test.status, test.method, test.path, "")
		if test.status == 404 {
			wantProblem(t, a, 404, "not_found")
		} else if a.body != test.body || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s %s\nwant %s", test.method, test.path, a.Header.Get("Content-Type"), a.body, test.body)
		}
	}
	for path, code := range map[string]string{
		"/v1/channels/.a":                  "bad_channel",
		"/v1/channels/a%20b":               "bad_channel",
		"/v1/channels/a%zz":                "bad_request",
		"/v1/channels/a%00":                "bad_channel",
		"/v1/channels/a/b%20c":             "bad_name",
		"/v1/channels/a/b/c%22":            "bad_name",
		"/v1/channels/a/history?limit=0x1": "bad_request",
		"/v1/channels/a/history?limit=-1":  "bad_request",
		"/v1/channels/a/history?limit=" + strings.Repeat("9", 30): "bad_request",
		"/v1/channels/a/history?limit=1001":                       "bad_request",
		"/v1/channels/a/history?before=x":                         "bad_request",
		"/v1/channels?limit=1001":                                 "bad_request",
	} {
		wantProblem(t, g.api(400, "GET", path, ""), 400, code)
	}
}

// Deletes by a backend reach subscribers like any other change.
func TestDeletesAreTold(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	for i := range 3 {
		g.post(`"channel":"held:1","group":"g","key":"k%d","data":%d`, i, i)
	}
	g.api(200, "DELETE", "/v1/channels/held:1/g/k1", "")
	g.api(200, "DELETE", "/v1/channels/held:1/g", "")
	g.flush()
	for i := range 3 {
		c.change(uint64(i+1), fmt.Sprint(i))
	}
	for i, key := range []string{"k1", "k0", "k2"} {
		if h := c.hear(); h.Seq != uint64(i+4) || h.Op != "delete" || h.Key != key || h.Group != "g" || h.Cause != "" {
			t.Errorf("%+v", h)
		}
	}
}

// Names may hold what a path does not, escaped, and the names of users' channels what looks escaped.
func TestNamesInPaths(t *testing.T) {
	g := open(t)
	for _, name := range []string{"doc:a/b/c", "user:auth0=7C7", "user:me@x", "a~b", "x:/", "a=2Fb"} {
		for _, item := range []string{"k", "k/1", "=2F", "history", "presence"} {
			g.post(`"channel":"%s","group":"%s","key":"%s","data":1`, name, item, item)
			path := "/v1/channels/" + url.PathEscape(name) + "/" + url.PathEscape(item) + "/" + url.PathEscape(item)
			if a := g.api(200, "GET", path, ""); !strings.Contains(a.body, `"channel":"`+name+`","group":"`+item+`","key":"`+item+`"`) {
				t.Errorf("%s: %s", path, a.body)
			}
		}
		if a := g.api(200, "GET", "/v1/channels/"+url.PathEscape(name), ""); len(heardIn(t, []byte(a.body)).State) != 5 {
			t.Errorf("%s: %s", name, a.body)
		}
		if a := g.api(200, "DELETE", "/v1/channels/"+url.PathEscape(name), ""); heardIn(t, []byte(a.body)).Position.Seq != 0 {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

func TestChannelList(t *testing.T) {
	g := open(t)
	if a := g.api(200, "GET", "/v1/channels", ""); a.body != `{"channels":[],"more":false}` {
		t.Error(a.body)
	}
	for i := range 7 {
		g.post(`"channel":"list:%d","key":"k","data":1`, i)
	}
	at := g.post(`"channel":"list:0","data":1`)
	g.post(`"channel":"other","data":1`)
	c := g.client("u1")
	c.subscribe("list:0", "")
	want := `{"channels":[{"channel":"list:0","position":` + at.json() + `,"items":1,"history":2,"subscribers":1}],"more":true}`
	if a := g.api(200, "GET", "/v1/channels?prefix=list:&limit=1", ""); a.body != want {
		t.Errorf("%s\nwant %s", a.body, want)
	}
	after, seen := "", ""
	for more := true; more; {
		var page struct {
			Channels []struct{ Channel string }
			More     bool
		}
		a := g.api(200, "GET", "/v1/channels?prefix=list:&limit=3&after="+after, "")
		unmarshal(t, a.body, &page)
		for _, c := range page.Channels {
			seen += c.Channel[len("list:"):]
			after = c.Channel
		}
		if more = page.More; len(page.Channels) == 0 || len(page.Channels) > 3 {
			t.Fatalf("a page of %d", len(page.Channels))
		}
	}
	if seen != "0123456" {
		t.Errorf("pages hold %s", seen)
	}
	if a := g.api(200, "GET", "/v1/channels?prefix=none", ""); a.body != `{"channels":[],"more":false}` {
		t.Error(a.body)
	}
}

// A client reads history a page at a time, newest page first.
func TestHistoryOfClients(t *testing.T) {
	g := open(t)
	for i := range 250 {
		g.relay.mustPublish(t, fmt.Sprintf(`{"channel":"a","data":%d}`, i+1))
	}
	c := g.client("u1")
	before, next := "", 250
	for page, size := range []int{100, 100, 50} {
		h := c.ask(`{"type":"history","id":%d,"channel":"a"%s}`, page, before)
		if h.Type != "history" || h.Channel != "a" || len(h.Changes) != size || h.More != (page < 2) || string(h.ID) != fmt.Sprint(page) {
			t.Fatalf("page %d: %.200s", page, h.raw)
		}
		next -= size
		for i, change := range h.Changes {
			if change.Seq != uint64(next+i+1) || string(change.Data) != fmt.Sprint(next+i+1) {
				t.Errorf("page %d, change %d: %+v", page, i, change)
			}
		}
		before = fmt.Sprintf(`,"before":%d`, h.Changes[0].Seq)
	}
	c.say(`{"type":"history","id":"h","channel":"a","limit":1}`)
	c.exactly(`{"type":"history","id":"h","channel":"a","changes":[{"seq":250,"op":"send","data":250}],"more":true}`)
	c.say(`{"type":"history","id":"h","channel":"empty"}`)
	c.exactly(`{"type":"history","id":"h","channel":"empty","changes":[],"more":false}`)
	h := g.client("u2", may("closed:1", "history")).ask(`{"type":"history","channel":"closed:1"}`)
	if h.Type != "history" {
		t.Error(h.raw)
	}
}
