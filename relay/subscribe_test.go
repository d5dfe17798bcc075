package relay

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"weir/internal/wire"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/session"
)

func TestSubscribeAnswers(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	epoch := c.subscribe("empty", "").Position.Epoch
	c.say(`{"type":"subscribe","id":"s","channel":"empty"}`)
	c.exactly(`{"type":"subscribed","id":"s","channel":"empty","position":{"epoch":"` + epoch + `","seq":0},"rate":1073741824,"recovered":false,"state":{}}`)

	g.post(`"channel":"a","key":"k","data":{"n":1}`)
	g.post(`"channel":"a","group":"g","key":"x/y","data":"two"`)
	at := g.post(`"channel":"a","data":[3]`)
	g.post(`"channel":"a","group":"g","key":"z","op":"set","data":null`)
	end := g.post(`"channel":"a","key":"k","op":"delete"`)
	if at.Seq != 3 || end != (position{at.Epoch, 5}) {
		t.Fatalf("positions %v and %v", at, end)
	}
	for _, test := range []struct{ name, command, want string }{
		{"no position", `{"type":"subscribe","channel":"a"}`,
			`{"type":"subscribed","channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":false,"state":{"g":{"x/y":"two","z":null}}}`},
		{"null position", `{"type":"subscribe","id":1,"channel":"a","position":null}`,
			`{"type":"subscribed","id":1,"channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":false,"state":{"g":{"x/y":"two","z":null}}}`},
		{"resume", `{"type":"subscribe","id":"r","channel":"a","position":` + at.json() + `}`,
			`{"type":"subscribed","id":"r","channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":true,"changes":[` +
				`{"seq":4,"op":"set","group":"g","key":"z","data":null},{"seq":5,"op":"delete","group":"items","key":"k"}]}`},
		{"resume from the end", `{"type":"subscribe","id":"e","channel":"a","position":` + end.json() + `}`,
			`{"type":"subscribed","id":"e","channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":true,"changes":[]}`},
		{"ahead of the log", `{"type":"subscribe","id":2,"channel":"a","position":` + position{end.Epoch, 6}.json() + `}`,
			`{"type":"subscribed","id":2,"channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":false,"state":{"g":{"x/y":"two","z":null}},"lost":true}`},
		{"another epoch", `{"type":"subscribe","id":3,"channel":"a","position":{"seq":5,"epoch":"other"}}`,
			`{"type":"subscribed","id":3,"channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":false,"state":{"g":{"x/y":"two","z":null}},"lost":true}`},
		{"a group", `{"type":"subscribe","channel":"a","groups":["items"]}`,
			`{"type":"subscribed","channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":false,"state":{}}`},
		{"resume of a group", `{"type":"subscribe","channel":"a","groups":["g"],"position":` + position{at.Epoch, 0}.json() + `}`,
			`{"type":"subscribed","channel":"a","position":` + end.json() + `,"rate":1073741824,"recovered":true,"changes":[` +
				`{"seq":2,"op":"set","group":"g","key":"x/y","data":"two"},{"seq":4,"op":"set","group":"g","key":"z","data":null}]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := g.client("u1")
			c.say(test.command)
			if raw, err := c.text(); err != nil || string(raw) != test.want {
				t.Errorf("got  %s %v\nwant %s", raw, err, test.want)
			}
			c.quiet()
		})
	}
}

// A reader further behind than the log reaches, or than one answer may hold, gets a snapshot.
func TestSubscribeTooFarBehind(t *testing.T) {
	size, none := 4, 0
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.History.Size = &size
		c.Namespaces["short"] = ns
		ns.History.Size = &none
		c.Namespaces["none"] = ns
	})
	c := g.client("u1")
	large := `"` + strings.Repeat("x", 60<<10) + `"`
	for _, test := range []struct {
		channel, data string
		published     int
		behind        uint64
		recovered     bool
	}{
		{"short:1", "1", 10, 4, true},
		{"short:2", "1", 10, 5, false},
		{"none:1", "1", 2, 1, false},
		{"large:1", large, 12, 8, true},
		{"large:2", large, 12, 9, false},
	} {
		holder := g.client("u2") // without anyone a channel that keeps nothing is freed
		holder.subscribe(test.channel, "")
		var at position
		for range test.published {
			at = g.relay.mustPublish(t, `{"channel":"`+test.channel+`","data":`+test.data+`}`)
		}
		at.Seq -= test.behind
		h := c.subscribe(test.channel, `,"position":`+at.json())
		if *h.Recovered != test.recovered || h.Lost == test.recovered || h.Position.Seq != at.Seq+test.behind {
			t.Errorf("%s, %d behind: %.200s", test.channel, test.behind, h.raw)
		}
		if test.recovered && len(h.Changes) != int(test.behind) || !test.recovered && h.State == nil {
			t.Errorf("%s, %d behind: %d changes, state %v", test.channel, test.behind, len(h.Changes), h.State)
		}
	}
}

// Subscribing again is answered, after what was accepted before, and changes nothing.
func TestSubscribeAgain(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	first := c.subscribe("held:1", `,"groups":["g"]`)
	g.post(`"channel":"held:1","group":"g","key":"k","data":1`)
	g.post(`"channel":"held:1","key":"other","data":2`)
	c.say(`{"type":"subscribe","id":2,"channel":"held:1"}`)
	c.change(1, "1")
	if h := c.hear(); h.Type != "subscribed" || h.Position.Seq != 2 || len(h.State) != 1 || string(h.State["g"]["k"]) != "1" {
		t.Fatalf("again: %s", h.raw)
	}
	g.post(`"channel":"held:1","group":"g","key":"k","data":3`)
	c.say(`{"type":"subscribe","id":3,"channel":"held:1","position":` + first.Position.json() + `}`)
	c.change(3, "3")
	if h := c.hear(); !*h.Recovered || len(h.Changes) != 2 || h.Position.Seq != 3 {
		t.Fatalf("again with a position: %s", h.raw)
	}
	if readers := g.channels("held:1", "", 1)[0].Readers; readers != 1 {
		t.Errorf("%d readers", readers)
	}
	if h := c.ask(`{"type":"unsubscribe","id":4,"channel":"held:1"}`); h.raw != `{"type":"ok","id":4}` {
		t.Error(h.raw)
	}
	g.post(`"channel":"held:1","group":"g","key":"k","data":4`)
	c.quiet()
	c.refused("not_subscribed", `{"type":"unsubscribe","id":"x","channel":"held:1"}`)
}

// What comes after the position of an answer comes after the answer, even if it was accepted while the
// changes before it still waited.
func TestSubscribeAgainBesideWaitingChanges(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	s := c.session()
	release := c.stall()
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`)
	if err := s.Subscribe(&session.SubscribeRequest{Channel: "held:1", ID: []byte("2")}); err != nil {
		t.Fatal(err)
	}
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":2}`)
	release()
	c.change(1, "1")
	if h := c.hear(); h.Type != "subscribed" || h.Position.Seq != 1 || string(h.State["items"]["k"]) != "1" {
		t.Fatalf("again: %s", h.raw)
	}
	g.flush()
	c.change(2, "2")
}

func TestSubscriptionsAreBounded(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Limit.Subscriptions = 2 })
	c := g.client("u1")
	c.subscribe("a", "")
	c.subscribe("b", "")
	c.subscribe("b", "")
	c.subscribe("user:u1", "") // its own counts for nothing
	c.refused("too_many", `{"type":"subscribe","id":"x","channel":"c"}`)
	c.ask(`{"type":"unsubscribe","channel":"a"}`)
	c.subscribe("c", "")
	if h := g.sse("u1", "a", "b", "c").want("unsubscribed"); h.Channel != "c" || h.Code != "too_many" {
		t.Errorf("stream of three: %s", h.raw)
	}
	g.follow("u1", "", "a", "b", "a")
}

// A subscriber to some groups gets those and no others, in frames of its own, and stands where the
// others stand.
func TestGroups(t *testing.T) {
	g := open(t)
	all, one, two := g.client("u1"), g.client("u2"), g.client("u3")
	all.subscribe("held:1", "")
	one.subscribe("held:1", `,"groups":["a"]`)
	two.subscribe("held:1", `,"groups":["b","a","b"]`)
	for i, group := range []string{"a", "b", "c", "a"} {
		g.post(`"channel":"held:1","group":"%s","key":"%d","data":%d`, group, i, i)
	}
	g.post(`"channel":"held:1","data":"a send without a group is in none"`)
	g.flush()
	for i := range 4 {
		all.change(uint64(i+1), fmt.Sprint(i))
	}
	all.change(5, `"a send without a group is in none"`)
	one.change(1, "0")
	one.change(4, "3")
	two.change(1, "0")
	two.change(2, "1")
	two.change(4, "3")
	g.post(`"channel":"held:1","group":"b","key":"k","data":1`)
	g.flush()
	one.quiet()
	two.change(6, "1")
	if h := one.ask(`{"type":"unsubscribe","channel":"held:1"}`); h.Type != "ok" { // though its topic ends in frames without bytes
		t.Error(h.raw)
	}
}

func TestChoicesOfGroupsAreBounded(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	for i := range hub.MaxSelections {
		c.subscribe("a", fmt.Sprintf(`,"groups":["g%d"]`, i))
		c.ask(`{"type":"unsubscribe","channel":"a"}`)
		g.client("holder").subscribe("a", fmt.Sprintf(`,"groups":["g%d"]`, i))
	}
	c.refused("too_many", `{"type":"subscribe","id":"x","channel":"a","groups":["more"]}`)
	c.subscribe("a", `,"groups":["g3","g3"]`)
	c.ask(`{"type":"unsubscribe","channel":"a"}`)
	c.subscribe("a", "")
}

// The ok of an unsubscribe comes after everything accepted before it, and nothing comes after it.
func TestUnsubscribe(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	g.post(`"channel":"held:1","data":1`)
	g.post(`"channel":"held:1","data":2`)
	c.say(`{"type":"unsubscribe","id":"u","channel":"held:1"}`)
	c.change(1, "1")
	c.change(2, "2")
	c.exactly(`{"type":"ok","id":"u"}`)
	g.post(`"channel":"held:1","data":3`)
	c.quiet()
	g.until("the channel has no reader", func() bool {
		info := g.channels("held:1", "", 1)
		return len(info) == 1 && info[0].Readers == 0
	})
}

// A change that was accepted before the unsubscribe is delivered even if another one follows it into
// the same window.
func TestUnsubscribeBesideWaitingChanges(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	s := c.session()
	release := c.stall()
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`)
	if !s.Unsubscribe("held:1", wire.TextFrame([]byte(`{"type":"ok"}`))) {
		t.Fatal("not subscribed")
	}
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":2}`)
	release()
	c.change(1, "1")
	c.exactly(`{"type":"ok"}`)
	c.quiet()
}

// The same at the end of a session.
func TestEndBesideWaitingChanges(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	s := c.session()
	release := c.stall()
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`)
	s.End(wire.CloseForbidden, "test")
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":2}`)
	release()
	c.change(1, "1")
	if e := c.ended(); e.reason != "test" {
		t.Error(e)
	}
}

// Unsubscribing and subscribing at once: the old subscription's changes, its ok, the new answer, the
// new changes, whatever lies between in windows.
func TestUnsubscribeAndSubscribeAtOnce(t *testing.T) {
	for _, groups := range []string{"", `,"groups":["items"]`} {
		g := open(t)
		c := g.client("u1")
		c.subscribe("held:1", "")
		at := uint64(0)
		for range 3 {
			s := c.session()
			release := c.stall()
			g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`)
			c.say(`[{"type":"unsubscribe","id":1,"channel":"held:1"},{"type":"subscribe","id":2,"channel":"held:1"` + groups + `}]`)
			g.until("the client has left", func() bool { return s.Topic("held:1") == nil })
			g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":2}`)
			release()
			c.change(at+1, "1")
			c.exactly(`{"type":"ok","id":1}`)
			h := c.hear()
			if h.Type != "subscribed" || h.Position.Seq != at+2 || string(h.State["items"]["k"]) != "2" {
				t.Fatal(h.raw)
			}
			at += 3
			g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":3}`)
			g.flush()
			c.change(at, "3")
		}
		c.quiet()
	}
}

// Access that is taken away is told after what was accepted before.
func TestDenied(t *testing.T) {
	g := open(t)
	one, two := g.client("u1"), g.client("u1")
	one.subscribe("held:1", "")
	two.subscribe("held:1", "")
	g.post(`"channel":"held:1","data":1`)
	if a := g.api(200, "POST", "/v1/unsubscribe", `{"channel":"held:1","connectionId":"`+one.hello.ConnectionID+`","reason":"no \"more\""}`); a.body != `{"unsubscribed":1}` {
		t.Error(a.body)
	}
	one.change(1, "1")
	one.exactly(`{"type":"unsubscribed","channel":"held:1","code":"forbidden","reason":"no \"more\""}`)
	g.post(`"channel":"held:1","data":2`)
	one.quiet()
	two.change(1, "1")
	two.change(2, "2")
	if a := g.api(200, "POST", "/v1/unsubscribe", `{"channel":"held:1","userId":"u1"}`); a.body != `{"unsubscribed":1}` {
		t.Error(a.body)
	}
	two.exactly(`{"type":"unsubscribed","channel":"held:1","code":"forbidden","reason":"not allowed"}`)
}

// Subscribers who come and go while others publish get every change once and in order, from exactly
// where their answer stands.
func TestSubscribeUnderPublish(t *testing.T) {
	g := open(t, manyShards)
	const publishers, rounds = 3, 30
	stop := make(chan struct{})
	var publishing, following sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					g.relay.mustPublish(t, `{"channel":"busy","data":1}`)
				}
			}
		})
	}
	for range 3 {
		following.Go(func() {
			c := g.client("u")
			at, more := position{}, ""
			for i := range rounds {
				h := c.subscribe("busy", more)
				if at.Epoch != "" && h.Position.Epoch != at.Epoch {
					t.Errorf("epoch %v after %v", h.Position, at)
				}
				if more != "" && *h.Recovered {
					for _, change := range h.Changes {
						if at.Seq++; change.Seq != at.Seq {
							t.Errorf("resumed %d after %d", change.Seq, at.Seq-1)
						}
					}
					if at.Seq != h.Position.Seq {
						t.Errorf("resumed up to %d, position %v", at.Seq, h.Position)
					}
				}
				at = h.Position
				for range i % 7 {
					at.Seq++
					if h := c.hear(); h.Seq != at.Seq {
						t.Errorf("change %d after %d", h.Seq, at.Seq-1)
						return
					}
				}
				c.say(`{"type":"unsubscribe","channel":"busy"}`)
				for h := c.hear(); h.Type != "ok"; h = c.hear() {
					if at.Seq++; h.Seq != at.Seq {
						t.Errorf("change %d after %d while leaving", h.Seq, at.Seq-1)
						return
					}
				}
				if more = ""; i%2 == 0 {
					more = `,"position":` + at.json()
				}
			}
		})
	}
	following.Wait()
	close(stop)
	publishing.Wait()
}
