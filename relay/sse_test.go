package relay

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/config"
)

func TestStream(t *testing.T) {
	g := open(t)
	g.post(`"channel":"a","key":"k","data":{"n":` + "\n" + `1}`)
	nc := g.dial()
	token := mint(t, "u1")
	_, _ = io.WriteString(nc, "GET /sse?channel=a&channel=b HTTP/1.1\r\nHost: "+g.public+"\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/event-stream; charset=utf-8",
		"Cache-Control":          "no-cache, no-transform",
		"X-Accel-Buffering":      "no",
		"X-Content-Type-Options": "nosniff",
		"Content-Length":         "",
	} {
		if got := resp.Header.Get(name); got != want || resp.StatusCode != 200 {
			t.Errorf("%s: %q", name, got)
		}
	}
	f := &follower{ssePeer: &ssePeer{TB: t, nc: nc, body: bufio.NewReader(resp.Body)}}
	if h := f.hear(); h.Type != "connected" || h.UserID != "u1" || len(h.ConnectionID) != 26 || h.Position.Epoch == "" || f.lastID != "" {
		t.Error(h.raw)
	}
	for i, want := range []struct{ channel, state string }{{"user:u1", `{}`}, {"a", `{"items":{"k":{"n": 1}}}`}, {"b", `{}`}} {
		h := f.hear()
		if h.Type != "subscribed" || h.Channel != want.channel || *h.Recovered || !strings.Contains(h.raw, `"state":`+want.state) || h.ID != nil {
			t.Errorf("%s", h.raw)
		}
		if marks, err := wire.ParseCursor([]byte(f.lastID)); err != nil || len(marks) != i+1 {
			t.Errorf("id of %s: %v %v", want.channel, marks, err)
		}
	}
	// Every id carries every channel.
	g.post(`"channel":"user:u1","data":"own"`)
	if h := f.hear(); h.raw != `{"type":"update","seq":1,"op":"send","data":"own"}` {
		t.Error(h.raw)
	}
	g.post(`"channel":"b","data":` + "\"\\n\\r\",\n\"key\":\"\\u006b\"")
	if h := f.hear(); h.raw != `{"type":"channel_update","channel":"b","seq":1,"op":"set","group":"items","key":"k","data":"\n\r"}` {
		t.Error(h.raw)
	}
	marks, err := wire.ParseCursor([]byte(f.lastID))
	if err != nil || len(marks) != 3 {
		t.Fatal(marks, err)
	}
	for i, m := range marks {
		if want := wire.ChannelHash([]string{"user:u1", "a", "b"}[i]); m.Channel != want || m.Seq != 1 || m.Epoch == "" {
			t.Errorf("mark %+v", m)
		}
	}
}

// A stream resumes in all its channels, from the header or from the query.
func TestStreamResumes(t *testing.T) {
	g := open(t)
	f := g.follow("u1", "", "a", "b")
	for range 4 {
		f.hear()
	}
	g.post(`"channel":"a","data":1`)
	f.hear()
	id := f.lastID
	_ = f.nc.Close()
	g.post(`"channel":"a","data":2`)
	g.post(`"channel":"user:u1","data":3`)
	g.post(`"channel":"b","key":"k","data":4`)
	byHeader := g.follow("u1", id, "b", "a", "new")
	byQuery := &follower{ssePeer: g.sseWith("/sse?channel=a&channel=b&channel=new&lastEventId="+url.QueryEscape(id), "Authorization: Bearer "+mint(t, "u1"))}
	for _, f := range []*follower{byHeader, byQuery} {
		f.hear()
		for range 4 {
			h := f.hear()
			want := map[string]string{"user:u1": "3", "a": "2", "b": "4"}[h.Channel]
			if h.Channel == "new" {
				if *h.Recovered || h.Lost || h.Type != "subscribed" { // it was not followed before
					t.Error(h.raw)
				}
				continue
			}
			if h.Type != "subscribed" || !*h.Recovered || len(h.Changes) != 1 || string(h.Changes[0].Data) != want {
				t.Error(h.raw)
			}
		}
	}
	g.post(`"channel":"b","data":5`)
	for _, f := range []*follower{byHeader, byQuery} {
		if h := f.hear(); h.Seq != 2 || string(h.Data) != "5" {
			t.Error(h.raw)
		}
	}
}

// What has become of a channel that was only held before the first client came does not make positions of streams wrong.
func TestStreamOfHeldChannel(t *testing.T) {
	g := open(t)
	held, err := g.relay.hub.Broker.Join("a", broker.JoinRequest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Leave()
	g.post(`"channel":"a","data":1`)
	g.post(`"channel":"a","data":2`)
	g.api(200, "DELETE", "/v1/channels/a", "")
	f := g.follow("u1", "", "a")
	for _, want := range []string{"connected", "subscribed", "subscribed"} {
		if h := f.hear(); h.Type != want {
			t.Fatalf("want %s: %s", want, h.raw)
		}
	}
	end := g.post(`"channel":"a","data":3`)
	if h := f.hear(); h.Type != "channel_update" || h.Seq != 1 {
		t.Fatal(h.raw)
	}
	again := g.follow("u1", f.lastID, "a")
	if h := again.hear(); h.Type != "connected" {
		t.Fatal(h.raw)
	}
	for range 2 {
		if h := again.hear(); h.Channel == "a" && (h.Recovered == nil || !*h.Recovered || len(h.Changes) > 0 || h.Position != end) {
			t.Errorf("what was told already comes again: %s", h.raw)
		}
	}
}

// A resume that is not possible says so, for the channels that it is not possible in.
func TestStreamResyncs(t *testing.T) {
	size := 2
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.History.Size = &size
		c.Namespaces["short"] = ns
	})
	f := g.follow("u1", "", "a", "short:1")
	for range 4 {
		f.hear()
	}
	id := f.lastID
	g.post(`"channel":"a","data":1`)
	for i := range 3 {
		g.post(`"channel":"short:1","key":"k","data":%d`, i)
	}
	f = g.follow("u1", id, "a", "short:1")
	for range 4 {
		switch h := f.hear(); h.Channel {
		case "a":
			if h.Type != "subscribed" || !*h.Recovered {
				t.Error(h.raw)
			}
		case "short:1":
			if h.Type != "resync" || !h.Lost || h.Position.Seq != 3 || string(h.State["items"]["k"]) != "2" {
				t.Error(h.raw)
			}
		}
	}
	for _, bad := range []string{"some-other-servers-id", "42", strings.Repeat("A", 7000)} {
		f := g.follow("u1", bad, "a", "b")
		f.hear()
		for range 3 {
			if h := f.hear(); h.Type != "resync" || !h.Lost {
				t.Errorf("after %.30q: %s", bad, h.raw)
			}
		}
		if again := g.follow("u1", f.lastID, "a", "b"); again.hear().Type != "connected" || again.hear().Type != "subscribed" {
			t.Error("the id of a resync does not resume")
		}
	}
}

func TestStreamRefused(t *testing.T) {
	g := open(t)
	token := "Authorization: Bearer " + mint(t, "u1")
	for _, test := range []struct {
		target string
		lines  []string
		status int
		code   string
	}{
		{"/sse?channel=a", nil, 401, "unauthorized"},
		{"/sse?channel=a", []string{"Authorization: Bearer " + apiKey}, 401, "unauthorized"},
		{"/sse?channel=a%20b", []string{token}, 400, "bad_channel"},
		{"/sse?channel=", []string{token}, 400, "bad_channel"},
		{"/sse?channel=closed:1", []string{token}, 403, "forbidden"},
		{"/sse?channel=user:u2", []string{token}, 403, "forbidden"},
		{"/sse?channel=" + strings.Repeat("x", 256), []string{token}, 400, "bad_channel"},
		{"/sse?" + strings.Repeat("channel=a&channel=b&", 60), []string{token, "Origin: https://evil.example"}, 403, "origin"},
	} {
		a := g.ask("GET", test.target, "", test.lines...)
		if test.code == "forbidden" || test.code == "bad_channel" { // which one?
			a.body = regexp.MustCompile(`,"channel":"(closed:1|user:u2|a b|x*)"}$`).ReplaceAllString(a.body, "}")
		}
		wantProblem(t, a, test.status, test.code)
	}
	// Without a channel there is still the user's own.
	f := &follower{ssePeer: g.sseWith("/sse", token)}
	if h := f.hear(); h.Type != "connected" {
		t.Error(h.raw)
	}
	if h := f.hear(); h.Channel != "user:u1" {
		t.Error(h.raw)
	}
	ticket := strings.Split(g.api(200, "POST", "/v1/tickets", `{"userId":"u1"}`).body, `"`)[3]
	f = &follower{ssePeer: g.sseWith("/sse?channel=a&ticket=" + ticket)}
	if h := f.hear(); h.UserID != "u1" {
		t.Error(h.raw)
	}
}

// Pages of the configured origins may read streams; of others they get nothing.
func TestStreamCORS(t *testing.T) {
	const app = "https://app.example.com"
	g := open(t, func(c *config.Config) { c.Origins = []string{app} })
	for origin, allowed := range map[string]bool{app: true, "http://" + g.public: true, "https://evil.example": false, "null": false, "": true} {
		lines := []string{"Authorization: Bearer " + mint(t, "u1")}
		if origin != "" {
			lines = append(lines, "Origin: "+origin)
		}
		nc := g.dial()
		_, _ = io.WriteString(nc, "GET /sse HTTP/1.1\r\nHost: "+g.public+"\r\n"+strings.Join(lines, "\r\n")+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.StatusCode == 200; got != allowed {
			t.Errorf("%s: %s", origin, resp.Status)
		}
		want, credentials, vary := "", "", ""
		if origin != "" {
			vary = "Origin" // refusals too depend on it
		}
		if allowed && origin != "" {
			want, credentials = origin, "true"
		}
		h := resp.Header
		if h.Get("Access-Control-Allow-Origin") != want || h.Get("Access-Control-Allow-Credentials") != credentials || h.Get("Vary") != vary {
			t.Errorf("%s: %v", origin, h)
		}
		_ = nc.Close()
	}
}

// An idle stream carries comments, so that no proxy takes it for dead.
func TestStreamHeartbeat(t *testing.T) {
	t.Parallel()
	g := open(t, func(c *config.Config) { c.Heartbeat = time.Second })
	f := g.follow("u1", "", "a")
	for range 3 {
		f.hear()
	}
	start := time.Now()
	for range 2 {
		for _, want := range []string{":heartbeat\n", "\n"} {
			if line, err := f.body.ReadString('\n'); err != nil || line != want {
				t.Fatalf("%q %v", line, err)
			}
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("two comments took %v", took)
	}
	g.post(`"channel":"a","data":1`)
	if h := f.hear(); string(h.Data) != "1" {
		t.Error(h.raw)
	}
}

// A stream that is drained tells its client when to come back, each another time.
func TestStreamFarewell(t *testing.T) {
	g := open(t)
	var streams []*follower
	for i := range 8 {
		f := g.follow(fmt.Sprint("u", i), "", "held:1")
		for range 3 {
			f.hear()
		}
		streams = append(streams, f)
	}
	g.post(`"channel":"held:1","data":1`)
	stopped := make(chan error)
	go func() { stopped <- g.stop() }() // ends with the drain; waited for below
	delays := make(map[int]bool)
	for _, f := range streams {
		if h := f.hear(); string(h.Data) != "1" { // what was accepted comes first
			t.Error(h.raw)
		}
		line, _ := f.body.ReadString('\n')
		delay, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "retry: ")))
		if err != nil || delay < 500 || delay > 1500 {
			t.Errorf("%q", line)
		}
		delays[delay] = true
		if e := f.event(); e.data != fmt.Sprintf(`{"type":"closed","code":4100,"reason":"retry=%d"}`, delay) || e.name != "closed" {
			t.Errorf("%+v", e)
		}
		if _, err := f.body.ReadByte(); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
		_ = f.nc.Close()
	}
	if len(delays) < 2 {
		t.Errorf("all come back after the same time: %v", delays)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
