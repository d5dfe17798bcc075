package relay

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/relay/config"
)

// A client that comes back with its position gets what it missed, raw and in order: items that expired
// and were deleted meanwhile, and changes that a window would have conflated.
func TestResume(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	at := c.subscribe("held:1", "").Position
	c.leave()
	g.post(`"channel":"held:1","key":"k","data":1`)
	g.post(`"channel":"held:1","key":"k","data":2`)
	g.post(`"channel":"held:1","key":"brief","data":3,"ttl":1`)
	g.until("the item has expired", func() bool { return g.channels("held:1", "", 1)[0].Position.Seq == 4 })
	end := g.post(`"channel":"held:1","data":5`)
	c = g.client("u1")
	c.say(`{"type":"subscribe","channel":"held:1","position":` + at.json() + `}`)
	c.exactly(`{"type":"subscribed","channel":"held:1","position":` + end.json() + `,"rate":1073741824,"recovered":true,"changes":[` +
		`{"seq":1,"op":"set","group":"items","key":"k","data":1},{"seq":2,"op":"set","group":"items","key":"k","data":2},` +
		`{"seq":3,"op":"set","group":"items","key":"brief","data":3},{"seq":4,"op":"delete","group":"items","key":"brief","cause":"expired"},` +
		`{"seq":5,"op":"send","data":5}]}`)
	c.quiet() // what was recovered does not come again
}

// The user's own channel is resumed by subscribing to it explicitly.
func TestResumeOwnChannel(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	at := position(c.hello.Position)
	c.leave()
	g.post(`"channel":"user:u1","data":1`)
	c = g.client("u1")
	if c.hello.Position.Seq != 1 {
		t.Errorf("connected at %v", c.hello.Position)
	}
	c.say(`{"type":"subscribe","id":1,"channel":"user:u1","position":` + at.json() + `}`)
	c.exactly(`{"type":"subscribed","id":1,"channel":"user:u1","position":` + position{at.Epoch, 1}.json() +
		`,"recovered":true,"changes":[{"seq":1,"op":"send","data":1}]}`)
	g.post(`"channel":"user:u1","data":2`)
	c.exactly(`{"type":"update","seq":2,"op":"send","data":2}`) // once, though it was subscribed twice
	c.quiet()
}

// Connections that break off at any moment and come back, on both transports, while others publish:
// nothing is lost, nothing comes twice.
func TestResumeUnderPublish(t *testing.T) {
	size := 1 << 16
	g := open(t, manyShards, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.History.Size = &size
		window := 2 * time.Millisecond
		ns.Batch.Window = &window
		c.Namespaces["default"] = ns
	})
	const total = 800
	var published atomic.Uint64
	var publishing, following sync.WaitGroup
	for range 2 {
		publishing.Go(func() {
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for published.Add(1) <= total {
				g.relay.mustPublish(t, `{"channel":"busy","data":1}`)
				if published.Load()%8 == 0 {
					<-pace.C // slower than the clients come back
				}
			}
		})
	}
	for i := range 3 {
		following.Go(func() {
			at, more := position{}, ""
			for round := i; at.Seq < total; round++ {
				c := g.client("u1")
				h := c.subscribe("busy", more)
				if more != "" {
					if !*h.Recovered {
						t.Errorf("not recovered from %v: %.200s", at, h.raw)
						return
					}
					for _, change := range h.Changes {
						if at.Seq++; change.Seq != at.Seq {
							t.Errorf("recovered %d, want %d", change.Seq, at.Seq)
						}
					}
					if h.Position.Seq != at.Seq {
						t.Errorf("recovered up to %d, position %v", at.Seq, h.Position)
					}
				}
				at = h.Position
				for n := 0; n < round%40 && at.Seq < total; n++ {
					if h := c.hear(); h.Seq != at.Seq+1 {
						t.Errorf("change %d after %d", h.Seq, at.Seq)
						return
					}
					at.Seq++
				}
				_ = c.nc.Close() // without a word; what was not read is lost
				more = `,"position":` + at.json()
			}
		})
	}
	following.Go(func() {
		at, id := uint64(0), ""
		for round := 0; at < total; round++ {
			f := g.follow("u1", id, "busy", "quiet")
			for n := 0; n < 4+round%40 && at < total || len(f.queue) > 0; n++ { // an id stands for its whole event
				h := f.hear()
				switch {
				case h.Type == "resync", h.Type == "subscribed" && id != "" && !*h.Recovered:
					t.Errorf("stream: not recovered from %d: %.200s", at, h.raw)
					return
				case h.Type == "subscribed" && h.Channel == "busy":
					for _, change := range h.Changes {
						if at++; change.Seq != at {
							t.Errorf("stream: recovered %d, want %d", change.Seq, at)
						}
					}
					at = h.Position.Seq
				case h.Type == "channel_update":
					if at++; h.Seq != at {
						t.Errorf("stream: change %d, want %d", h.Seq, at)
						return
					}
				}
				if h.Type == "subscribed" && h.Channel == "quiet" {
					id = f.lastID
				}
			}
			if id != "" {
				id = f.lastID
			}
			_ = f.nc.Close()
		}
	})
	publishing.Wait()
	following.Wait()
	if info := g.channels("busy", "", 1); fmt.Sprint(info[0].Position.Seq) != fmt.Sprint(total) {
		t.Errorf("%d published", info[0].Position.Seq)
	}
}
