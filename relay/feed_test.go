package relay

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/config"
	"weir/relay/session"
)

// A channel that is deleted tells its readers where things stand now, in order with everything else.
func TestClear(t *testing.T) {
	g := open(t)
	c, grouped, other := g.client("u1"), g.client("u2"), g.client("u3")
	old := c.subscribe("held:1", "").Position
	grouped.subscribe("held:1", `,"groups":["g"]`)
	other.subscribe("held:2", "")
	stream := g.follow("u4", "", "held:1")
	for range 3 {
		stream.hear()
	}
	g.post(`"channel":"held:1","group":"g","key":"k","data":1`)
	g.flush()
	c.change(1, "1")
	grouped.change(1, "1")
	stream.hear()
	g.post(`"channel":"held:1","group":"g","key":"k","data":"dropped with the log"`)
	a := g.api(200, "DELETE", "/v1/channels/held:1", "")
	at := heardIn(t, []byte(a.body)).Position
	if at.Epoch == old.Epoch || at.Seq != 0 || a.body != `{"position":`+at.json()+`}` {
		t.Errorf("deleted: %s, before %v", a.body, old)
	}
	want := `{"type":"resync","channel":"held:1","position":` + at.json() + `,"state":{},"lost":true}`
	c.exactly(want) // at once, though the window is long
	grouped.exactly(want)
	if e := stream.event(); e.name != "resync" || e.data != want || e.id == "" {
		t.Errorf("%+v", e)
	}
	other.quiet()
	next := g.post(`"channel":"held:1","group":"g","key":"k","data":3`)
	if next != (position{at.Epoch, 1}) {
		t.Errorf("continues at %v", next)
	}
	g.flush()
	c.change(1, "3")
	grouped.change(1, "3")
	if h := stream.hear(); h.Seq != 1 || string(h.Data) != "3" {
		t.Error(h.raw)
	}
	// The stream's id is of the new log, and the old position of no use.
	again := g.follow("u4", stream.lastID, "held:1")
	for _, kind := range []string{"connected", "subscribed", "subscribed"} {
		if h := again.hear(); h.Type != kind || h.Recovered != nil && !*h.Recovered {
			t.Errorf("after the stream's last id: %s", h.raw)
		}
	}
	old.Seq = 1
	if h := g.client("u5").subscribe("held:1", `,"position":`+old.json()); *h.Recovered || !h.Lost || len(h.State) != 1 {
		t.Errorf("from before: %s", h.raw)
	}
	g.api(404, "DELETE", "/v1/channels/held:none", "")
}

// Who joins after the log was lost stands beyond that: what the others are told is not for them, though
// it is still on its way.
func TestJoinAfterClear(t *testing.T) {
	g := open(t)
	one, two := g.client("u1"), g.client("u2")
	one.subscribe("held:1", "")
	two.subscribe("held:2", "")
	release := one.stall()
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`)
	if _, ok := g.relay.hub.Broker.Clear("held:1"); !ok {
		t.Fatal("not there")
	}
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":2}`)
	if err := two.session().Subscribe(&session.SubscribeRequest{Channel: "held:1", ID: nil}); err != nil {
		t.Fatal(err)
	}
	g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":3}`)
	release()
	g.flush()
	if h := one.hear(); h.Type != "resync" || h.Position.Seq != 0 {
		t.Error(h.raw)
	}
	one.change(1, "2")
	one.change(2, "3")
	if h := two.hear(); h.Type != "subscribed" || h.Position.Seq != 1 || string(h.State["items"]["k"]) != "2" {
		t.Error(h.raw)
	}
	two.change(2, "3")
	two.quiet()
	one.quiet()
}

// An answer that was made before the log was lost is sent before the client is told of that: the last
// position that it hears of is where it stands.
func TestSubscribeAgainBeforeClear(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Shards = 1 }) // one loop, so that one stall holds both
	c, grouped := g.client("u1"), g.client("u2")
	c.subscribe("held:1", "")
	grouped.subscribe("held:1", `,"groups":["g"]`)
	release := c.stall()
	at := g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`) // waits in the window, and goes with the log
	for _, one := range []*client{c, grouped} {
		if err := one.session().Subscribe(&session.SubscribeRequest{Channel: "held:1", ID: nil}); err != nil {
			t.Fatal(err)
		}
	}
	now, ok := g.relay.hub.Broker.Clear("held:1")
	if !ok {
		t.Fatal("not there")
	}
	release()
	g.flush()
	for _, one := range []*client{c, grouped} {
		if h := one.hear(); h.Type != "subscribed" || h.Position != at {
			t.Errorf("first %s", h.raw)
		}
		if h := one.hear(); h.Type != "resync" || h.Position != (position{now.Epoch, now.Seq}) {
			t.Errorf("then %s", h.raw)
		}
		one.quiet()
	}
}

// The same holds for a reader that is told where things stand because it was too slow.
func TestSubscribeAgainBeforeResync(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	release := c.stall()
	first := g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":1}`)
	s := c.session()
	if err := s.Subscribe(&session.SubscribeRequest{Channel: "held:1", ID: nil}); err != nil {
		t.Fatal(err)
	}
	second := g.relay.mustPublish(t, `{"channel":"held:1","key":"k","data":2}`)
	s.ResyncNow(s.Topic("held:1"))
	release()
	g.flush()
	if h := c.hear(); h.Type != "subscribed" || h.Position != first {
		t.Errorf("first %s", h.raw)
	}
	if h := c.hear(); h.Type != "resync" || h.Position != second {
		t.Errorf("then %s", h.raw)
	}
	c.quiet()
}

// A reader that has missed frames and cannot be told where things stand is not left behind in silence.
func TestResyncFails(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.subscribe("held:1", "")
	s := c.session()
	topic := s.Topic("held:1")
	g.relay.hub.Broker.Close()
	s.ResyncNow(topic)
	if e := c.ended(); e.code != wire.CloseSlow {
		t.Error(e)
	}
}

// However publishing, deleting, coming and going interleave: after a resync or an answer nothing of an
// earlier log comes, and nothing is missing.
func TestClearUnderPublish(t *testing.T) {
	window := 2 * time.Millisecond
	g := open(t, manyShards, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Batch.Window = &window
		c.Namespaces["default"] = ns
	})
	stop := make(chan struct{})
	var working, following sync.WaitGroup
	again := func(f func()) {
		working.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	for range 2 {
		again(func() { g.relay.mustPublish(t, `{"channel":"busy","data":1}`) })
	}
	again(func() {
		g.relay.mustPublish(t, `{"channel":"busy","key":"k","data":1}`)
		g.relay.hub.Broker.Clear("busy")
	})
	for i := range 3 {
		following.Go(func() {
			c := g.client("u1")
			groups, at := "", uint64(0)
			if i == 0 {
				groups = `,"groups":["items"]`
			}
			at = c.subscribe("busy", groups).Position.Seq
			epochs := make(map[string]bool)
			most := 1500
			if i == 0 { // most sets are cleared before they are told
				most = 200
			}
			for n := 0; n < most; n++ {
				h := c.hear()
				switch {
				case h.Type == "resync":
					if epochs[h.Position.Epoch] {
						t.Errorf("epoch %s came back", h.Position.Epoch)
					}
					epochs[h.Position.Epoch] = true
					at = h.Position.Seq
				case h.Seq <= at || i > 0 && h.Seq > at+1 && h.Op != "set": // sets of the key may have been conflated
					t.Errorf("change %d after %d", h.Seq, at)
				default:
					at = h.Seq
				}
			}
		})
	}
	following.Wait()
	close(stop)
	working.Wait()
}

// A reader that is too slow for a namespace with the policy resync loses frames, is told where things
// stand as soon as it reads again, and goes on from there.
func TestSlowReaderIsResynced(t *testing.T) {
	g := open(t, func(c *config.Config) {
		c.Limit.Queue = 64 * units.KiB
		ns := c.Namespaces["resync"]
		window := time.Duration(0)
		ns.Batch.Window = &window
		c.Namespaces["resync"] = ns
	})
	nc := g.dial()
	_ = nc.(*net.TCPConn).SetReadBuffer(256 << 10)
	c := &client{wsPeer: g.wsOn(nc, "/ws", "Authorization: Bearer "+mint(t, "u1")), rig: g}
	epoch := c.subscribe("resync:1", "").Position.Epoch
	c.subscribe("resync:2", `,"groups":["g"]`)
	filler := strings.Repeat("x", 60<<10)
	n := 0
	dropped := func() bool { return g.relay.hub.Namespaces.Of("resync:1").Meter.Dropped.Load() > 0 }
	for ; !dropped(); n++ {
		g.relay.mustPublish(t, fmt.Sprintf(`{"channel":"resync:1","key":"%d","data":"%s"}`, n%3, filler))
		g.flush()
	}
	g.relay.mustPublish(t, `{"channel":"resync:1","key":"last","data":1}`)
	g.relay.mustPublish(t, `{"channel":"resync:2","group":"g","key":"k","data":2}`)
	g.relay.mustPublish(t, `{"channel":"resync:2","group":"other","key":"k","data":3}`)
	g.flush()

	c.raw(textFrame(`{"type":"ping"}`)) // replies are not lost
	at, resynced, ponged := uint64(0), false, false
	for !resynced || !ponged {
		switch h := c.hear(); {
		case h.Type == "pong":
			ponged = true
		case h.Channel == "resync:2":
			if h.Type == "resync" && (len(h.State) != 1 || string(h.State["g"]["k"]) != "2") {
				t.Errorf("state of the groups that were asked for: %s", h.raw)
			}
		case h.Type == "resync":
			resynced = true
			if h.Position != (position{epoch, uint64(n + 1)}) || !h.Lost || len(h.State["items"]) != 4 || string(h.State["items"]["last"]) != "1" {
				t.Errorf("%v %d", h.Position, len(h.State["items"]))
			}
			at = h.Position.Seq
		case h.Type == "channel_update" && h.Seq == at+1:
			at++
		default:
			t.Fatalf("%s %.200s after %d", h.Type, h.raw, at)
		}
	}
	g.post(`"channel":"resync:1","key":"last","data":4`)
	for {
		if h := c.hear(); h.Channel == "resync:1" {
			if h.Seq != at+1 || string(h.Data) != "4" {
				t.Errorf("goes on with %+v after %d", h, at)
			}
			break
		}
	}
	if v := g.metric(`weir_resumes_total{outcome="resync"}`); v == "0" {
		t.Error("no resync was counted")
	}
}

// A channel that nobody follows and that keeps nothing is freed.
func TestEmptyChannelsAreFreed(t *testing.T) {
	none := 0
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.History.Size = &none
		c.Namespaces["none"] = ns
	})
	c := g.client("u1")
	for i := range 10 {
		c.subscribe(fmt.Sprintf("none:%d", i), "")
	}
	c.leave()
	g.until("the channels are gone", func() bool { return len(g.channels("none:", "", 1)) == 0 })
}
