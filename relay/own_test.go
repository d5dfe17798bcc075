package relay

import (
	"fmt"
	"sync"
	"testing"
)

// The channel of a user is made by who first needs it. Until then sessions have the position from which it will go on.
func TestOwnChannelIsMadeWhenNeeded(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(g *rig, c *client){
		"publication": func(*rig, *client) {},
		"subscribe": func(_ *rig, c *client) {
			h := c.ask(`{"type":"subscribe","id":1,"channel":"user:a=7Cb","position":{"epoch":%q,"seq":%d}}`, c.hello.Position.Epoch, c.hello.Position.Seq)
			if h.Type != "subscribed" || !*h.Recovered || len(h.Changes) != 0 || h.Position != c.hello.Position {
				t.Error(h.raw)
			}
		},
		"event stream": func(g *rig, _ *client) { g.follow("a|b", "", "free:1") },
	} {
		g := open(t, manyShards)
		one, two := g.client("a|b"), g.client("a|b")
		other := g.client("a=7Cb")
		if at, ok := g.relay.hub.Broker.Vacant("user:a=7Cb"); !ok || at.Epoch != one.hello.Position.Epoch {
			t.Fatalf("%s: the channel is there, or begins at %v", name, at)
		}
		if one.hello.Position != two.hello.Position || one.hello.Position.Seq != 0 {
			t.Errorf("%s: %v and %v", name, one.hello.Position, two.hello.Position)
		}
		first(g, one)
		at := g.post(`"channel":"user:a=7Cb","data":1`)
		if at.Epoch != one.hello.Position.Epoch || at.Seq != 1 {
			t.Errorf("%s: published at %v, and told %v", name, at, one.hello.Position)
		}
		three := g.client("a|b") // it is there now
		if three.hello.Position != at {
			t.Errorf("%s: told %v instead of %v", name, three.hello.Position, at)
		}
		g.post(`"channel":"user:a=7Cb","data":2`)
		for i, c := range []*client{one, two, three} {
			if i < 2 {
				c.change(1, "1")
			}
			c.change(2, "2")
		}
		if h := two.ask(`{"type":"unsubscribe","id":2,"channel":"user:a=7Cb"}`); h.Type != "ok" {
			t.Error(h.raw)
		}
		other.quiet()
		for _, c := range []*client{one, two, three, other} {
			c.leave()
		}
	}
}

// A channel that is waited for may be left before it is there, and come back to.
func TestOwnChannelIsLeftUnmade(t *testing.T) {
	t.Parallel()
	g := open(t)
	c := g.client("u1")
	if h := c.ask(`{"type":"unsubscribe","id":1,"channel":"user:u1"}`); h.Type != "ok" {
		t.Error(h.raw)
	}
	if h := c.ask(`{"type":"unsubscribe","id":2,"channel":"user:u1"}`); h.Code != "not_subscribed" {
		t.Error(h.raw)
	}
	g.post(`"channel":"user:u1","data":1`)
	c.quiet()
	if h := c.ask(`{"type":"subscribe","id":3,"channel":"user:u1","position":{"epoch":%q,"seq":0}}`, c.hello.Position.Epoch); !*h.Recovered || len(h.Changes) != 1 {
		t.Error(h.raw)
	}
	g.post(`"channel":"user:u1","data":2`)
	c.change(2, "2")
}

// Sessions that begin while somebody publishes to their user get each publication once: what their position does not say they know.
func TestOwnChannelIsMadeMeanwhile(t *testing.T) {
	t.Parallel()
	const users, sessions, posts = 20, 4, 5
	g := open(t, manyShards)
	for u := range users {
		var all sync.WaitGroup
		user := fmt.Sprint("u", u)
		clients := make([]*client, sessions)
		for i := range clients {
			all.Go(func() { clients[i] = g.client(user) })
		}
		for i := range posts {
			g.post(`"channel":"user:%s","data":%d`, user, i+1)
		}
		all.Wait()
		for _, c := range clients {
			for seq := c.hello.Position.Seq + 1; seq <= posts; seq++ {
				c.change(seq, fmt.Sprint(seq))
			}
			c.quiet()
			c.leave()
		}
	}
}
