package relay

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/config"
	"weir/relay/hub"
)

// Every envelope that carries changes, byte for byte, on both transports.
func TestEnvelopes(t *testing.T) {
	g := open(t, func(c *config.Config) { // what user channels do follows from the default namespace
		ns := c.Namespaces["default"]
		ns.Batch = c.Namespaces["held"].Batch
		c.Namespaces["default"] = ns
	})
	c, whole := g.brief("u1"), g.client("u1")
	c.subscribe("a", "")
	whole.subscribe("a", "")
	stream, wholeStream := g.sseWith("/sse?channel=a&short=1", "Authorization: Bearer "+mint(g, "u1")), g.sse("u1", "a")
	for range 3 {
		stream.event()
		wholeStream.event()
	}
	// both is what everybody is told; in the short form it may be less.
	both := func(want string, less ...string) {
		t.Helper()
		g.flush()
		event := func(p *ssePeer, want string) {
			t.Helper()
			e := p.event()
			if kind := heardIn(t, []byte(want)).Type; e.name != kind || e.data != want || e.id == "" {
				t.Fatalf("event %+v\nwant  %s", e, want)
			}
		}
		whole.exactly(want)
		event(wholeStream, want)
		if len(less) > 0 {
			want = less[0]
		}
		c.exactly(want)
		event(stream, want)
	}
	g.post(`"channel":"a","data":1`)
	both(`{"type":"channel_update","channel":"a","seq":1,"op":"send","data":1}`)
	g.post(`"channel":"a","data":2`)
	g.post(`"channel":"a","group":"g","key":"k","data":3`)
	g.post(`"channel":"a","group":"g","key":"k","op":"delete"`)
	both(`{"type":"batch","channel":"a","messages":[{"type":"channel_update","channel":"a","seq":2,"op":"send","data":2},`+
		`{"type":"channel_update","channel":"a","seq":3,"op":"set","group":"g","key":"k","data":3},`+
		`{"type":"channel_update","channel":"a","seq":4,"op":"delete","group":"g","key":"k"}]}`,
		`{"type":"batch","channel":"a","messages":[{"seq":2,"op":"send","data":2},`+
			`{"seq":3,"op":"set","group":"g","key":"k","data":3},{"seq":4,"op":"delete","group":"g","key":"k"}]}`)
	g.post(`"channel":"user:u1","key":"k","data":1`)
	both(`{"type":"update","seq":1,"op":"set","group":"items","key":"k","data":1}`)
	g.post(`"channel":"user:u1","data":2`)
	g.post(`"channel":"user:u1","data":3`)
	both(`{"type":"batch","messages":[{"type":"update","seq":2,"op":"send","data":2},{"type":"update","seq":3,"op":"send","data":3}]}`)
}

// A later set of a key stands in for the earlier one of its window; nothing else is ever left out.
func TestConflation(t *testing.T) {
	no := false
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["held"]
		ns.Batch.Conflate = &no
		c.Namespaces["each"] = ns
	})
	c := g.client("u1")
	publish := func(channel string) {
		for _, body := range []string{`"key":"a","data":1`, `"data":2`, `"key":"a","data":3`, `"key":"b","data":4`, `"key":"a","op":"delete"`,
			`"key":"a","data":5`, `"data":6`, `"group":"g","key":"a","data":7`, `"key":"a","data":8`} {
			g.post(`"channel":"%s",%s`, channel, body)
		}
		g.flush()
	}
	c.subscribe("held:1", "")
	publish("held:1")
	var seqs []uint64
	for range 6 {
		seqs = append(seqs, c.hear().Seq)
	}
	if got := fmt.Sprint(seqs); got != "[2 4 5 7 8 9]" {
		t.Errorf("conflated: %s", got)
	}
	c.subscribe("each:1", "")
	publish("each:1")
	for i := range 9 {
		if h := c.hear(); h.Seq != uint64(i+1) {
			t.Errorf("not conflated: %d", h.Seq)
		}
	}
	c.quiet()
	if v := g.metric(`weir_conflated_messages_total{namespace="held"}`); v != "3" {
		t.Errorf("%s messages conflated", v)
	}
}

// Who joins in the middle of a window gets what it lacks and nothing that it has.
func TestJoinInsideAWindow(t *testing.T) {
	g := open(t)
	early, late := g.client("u1"), g.client("u2")
	early.subscribe("held:1", "")
	g.post(`"channel":"held:1","key":"k","data":1`)
	g.post(`"channel":"held:1","data":2`)
	if h := late.subscribe("held:1", ""); h.Position.Seq != 2 || string(h.State["items"]["k"]) != "1" {
		t.Error(h.raw)
	}
	g.post(`"channel":"held:1","key":"k","data":3`)
	g.flush()
	for i, data := range []string{"1", "2", "3"} { // a set of before the join is not replaced by one of after it
		early.change(uint64(i+1), data)
	}
	late.change(3, "3")
	late.quiet()
}

// Windows that do not wait: the first message after an idle one, and all of window 0; and one that
// is full does not either.
func TestWindows(t *testing.T) {
	long, zero, lazy := 10*time.Second, time.Duration(0), false
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Batch = config.Batch{Window: &long}
		c.Namespaces["eager"] = ns
		ns.Batch = config.Batch{Window: &zero, Eager: &lazy}
		c.Namespaces["zero"] = ns
	})
	c := g.client("u1")
	start := time.Now()
	c.subscribe("eager:1", "")
	c.subscribe("zero:1", "")
	c.subscribe("held:1", "")
	g.post(`"channel":"eager:1","data":1`)
	c.change(1, "1")
	g.post(`"channel":"eager:1","data":2`) // waits
	for i := range 5 {
		g.post(`"channel":"zero:1","data":%d`, i)
		if h := c.hear(); h.Channel != "zero:1" || h.Seq != uint64(i+1) {
			t.Errorf("%+v", h)
		}
	}
	var lines strings.Builder
	for i := range 513 {
		fmt.Fprintf(&lines, `{"channel":"held:1","data":%d}`+"\n", i)
	}
	g.ask("POST", "/v1/publish", lines.String(), "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	for i := range 512 {
		c.change(uint64(i+1), fmt.Sprint(i))
	}
	large := strings.Repeat("x", 40<<10)
	g.post(`"channel":"held:1","data":"%s"`, large)
	g.post(`"channel":"held:1","data":"%s"`, large)
	for range 3 { // the 513th and these
		c.hear()
	}
	if took := time.Since(start); took > 9*time.Second {
		t.Errorf("it took %v: something waited for its tick", took)
	}
	g.flush()
	if h := c.hear(); h.Channel != "eager:1" || h.Seq != 2 {
		t.Errorf("%+v", h)
	}
}

// The window of the default: what comes within it leaves together, when it ends.
func TestTick(t *testing.T) {
	window, lazy := 30*time.Millisecond, false
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Batch = config.Batch{Window: &window, Eager: &lazy}
		c.Namespaces["tick"] = ns
	})
	c := g.client("u1")
	c.subscribe("tick:1", "")
	for range 3 {
		for i := range 10 {
			g.relay.mustPublish(t, fmt.Sprintf(`{"channel":"tick:1","data":%d}`, i))
		}
		for i := range 10 {
			if h := c.hear(); string(h.Data) != fmt.Sprint(i) {
				t.Errorf("%+v", h)
			}
		}
	}
}

// With permessage-deflate a frame is compressed once for all that take it, if that is worth it.
func TestCompression(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Compression = true })
	one, two, plain := g.deflating("u1"), g.deflating("u2"), g.client("u3")
	for _, c := range []*client{one, two, plain} {
		c.subscribe("a", "")
	}
	text := strings.Repeat("all work and no play ", 100)
	read := func(c *client) (head byte, raw []byte, payload string) {
		t.Helper()
		var seen bytes.Buffer
		r := c.r
		defer func() { c.r = r }()
		c.r.Reset(io.TeeReader(c.nc, &seen)) // nothing is buffered: everything before has been read
		first, p, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		return first, seen.Bytes(), string(p)
	}
	for seq, test := range []struct {
		data       string
		compressed bool
	}{
		{`"small"`, false},
		{`"` + text + `"`, true},
		{`"` + strings.Repeat("x", hub.CompressFrom-10) + `"`, true},
		{`"small again"`, false},
		{`"` + text + text + `"`, true},
	} {
		g.post(`"channel":"a","data":%s`, test.data)
		want := fmt.Sprintf(`{"type":"channel_update","channel":"a","seq":%d,"op":"send","data":%s}`, seq+1, test.data)
		first, raw, payload := read(one)
		if payload != want || (first&rsv1 != 0) != test.compressed {
			t.Errorf("first byte %x, %.100q", first, payload)
		}
		if test.compressed && len(raw) > len(want)/4 {
			t.Errorf("%d bytes for %d", len(raw), len(want))
		}
		if _, again, _ := read(two); !bytes.Equal(again, raw) {
			t.Error("two connections got different bytes")
		}
		if first, _, payload := read(plain); first != fin|wire.OpText || payload != want {
			t.Errorf("without compression: %x %.100q", first, payload)
		}
	}
	// What clients compress is understood, beside what they do not.
	one.raw(clientFrame(fin|rsv1|wire.OpText, deflated(t, []byte(`{"type":"ping","id":"`+strings.Repeat("z", 60)+`"}`))))
	if h := one.hear(); h.Type != "pong" || len(h.ID) != 62 {
		t.Error(h.raw)
	}
	one.say(`{"type":"ping"}`)
	one.exactly(`{"type":"pong"}`)
}

// deflating is client with compression.
func (g *rig) deflating(user string) *client {
	g.Helper()
	return &client{wsPeer: g.ws(user, offerDeflate), rig: g}
}

// Off by default, offered or not.
func TestCompressionIsOff(t *testing.T) {
	g := open(t)
	if a := g.shake("/ws", offerDeflate, "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != 101 || a.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%s %v", a.Status, a.Header)
	}
	c := g.deflating("u1")
	c.subscribe("a", "")
	g.post(`"channel":"a","data":"%s"`, strings.Repeat("x", 2000))
	if first, _, err := c.frame(); err != nil || first != fin|wire.OpText {
		t.Errorf("%x %v", first, err)
	}
}
