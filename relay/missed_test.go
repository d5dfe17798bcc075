package relay

import (
	"math"
	"strings"
	"testing"

	"weir/internal/wire"
	"weir/relay/stats"
)

// jam makes that frames cannot be built any more, but those of one channel: whoever notes how busy the others are runs
// into what is not there. The returned function mends it.
func (g *rig) jam(but string) (mend func()) {
	y := &g.relay.hub.Busiest
	y.Mu.Lock()
	defer y.Mu.Unlock()
	y.Tally = map[string]*stats.TopChannel{but: {Channel: but, Deliveries: 1 << 40}}
	for i := range stats.BusyChannels {
		y.Tally["nowhere:"+strings.Repeat("x", i)] = nil
	}
	y.Watchers.Add(1)
	y.Over = math.MaxInt64 // no second ends
	return func() {
		y.Mu.Lock()
		defer y.Mu.Unlock()
		y.Watchers.Add(-1)
		y.Tally, y.Over = nil, 0
	}
}

// A panic while frames are built closes those whom they are for, on every transport and whatever they have chosen, so
// that they come back and miss nothing; it is counted and logged once, and everything else goes on.
func TestPanicWhileFramesAreBuilt(t *testing.T) {
	t.Parallel()
	for _, channel := range []string{"default:1", "resync:1"} {
		g := open(t, manyShards)
		whole, chosen, other := g.client("u1"), g.client("u2"), g.client("u3")
		whole.subscribe(channel, "")
		chosen.subscribe(channel, `,"groups":["g"]`)
		other.subscribe("other:1", "")
		stream := g.follow("u4", "", channel)
		for range 3 {
			stream.hear()
		}
		first := g.post(`"channel":"%s","group":"g","key":"k","data":1`, channel)
		for _, c := range []*client{whole, chosen} {
			c.change(1, "1")
		}
		if h := stream.hear(); h.Seq != 1 {
			t.Fatal(h.raw)
		}
		g.flush() // the window is at rest, or waits for its tick with nothing in it

		mend := g.jam("other:1")
		if at := g.post(`"channel":"%s","group":"g","key":"k","data":2`, channel); at.Seq != 2 {
			t.Errorf("the publisher is told %v", at)
		}
		for _, c := range []*client{whole, chosen} {
			if e := c.ended(); e.code != wire.CloseInternal || len(c.queue) > 0 {
				t.Errorf("%v %+v", e, c.queue)
			}
		}
		if e := stream.event(); e.name != "closed" || !strings.Contains(e.data, `"code":1011`) {
			t.Errorf("%+v", e)
		}
		g.post(`"channel":"other:1","data":"on"`)
		other.change(1, `"on"`)
		mend()

		if n := g.metric("weir_panics_total"); n != "1" {
			t.Errorf("%s panics are counted", n)
		}
		if logged := g.logs.String(); strings.Count(logged, `"stack"`) != 1 || !strings.Contains(logged, `"channel":"`+channel+`"`) || !strings.Contains(logged, "fanout.go") {
			t.Errorf("logged: %s", logged)
		}
		back := g.client("u1")
		h := back.subscribe(channel, `,"position":`+first.json())
		if !*h.Recovered || len(h.Changes) != 1 || h.Changes[0].Seq != 2 {
			t.Errorf("who comes back is told %s", h.raw)
		}
		again := g.follow("u4", stream.lastID, channel)
		for _, kind := range []string{"connected", "subscribed", "subscribed"} {
			h := again.hear()
			if h.Type != kind || h.Channel == channel && (!*h.Recovered || len(h.Changes) != 1 || h.Changes[0].Seq != 2) {
				t.Errorf("the stream that comes back is told %s", h.raw)
			}
		}
		g.post(`"channel":"%s","group":"g","key":"k","data":3`, channel)
		back.change(3, "3")
		if h := again.hear(); h.Seq != 3 {
			t.Error(h.raw)
		}
		other.quiet()
		other.alive()
	}
}
