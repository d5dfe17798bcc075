package feed_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/feed"
)

// three starts three nodes with feeds.
func three(t *testing.T) *relaytest.Nodes {
	t.Helper()
	return relaytest.ClusterOf(t, 3, func(c *config.Config) { c.Heartbeat = time.Minute }, feed.Module())
}

// sends posts an item to a node until it is answered.
func sends(g *relaytest.Rig, user, id string) {
	g.Helper()
	body := fmt.Sprintf(`{"type":"post","data":{"n":%q},"id":%q}`, id, id)
	relaytest.Until(g, id+" is posted", func() bool {
		status, out := g.Backend("POST", "/v1/feed/"+user, body)
		if status != 200 && status != 503 {
			g.Errorf("%s: %d %v", id, status, out)
		}
		return status == 200
	})
}

// page is a user's page, which comes back to another node when its stream has ended.
type page struct {
	nodes []*relaytest.Rig
	user  string
	turn  int
	last  string   // id of the last event; "": none
	items []string // ids that it has shown
}

// open opens the stream on the next node that lets the page in.
func (p *page) open() (s *relaytest.Stream) {
	p.nodes[0].Helper()
	last := ""
	if p.last != "" {
		last = "Last-Event-ID: " + p.last
	}
	relaytest.Until(p.nodes[0], "a node has a stream for the page", func() bool {
		g := p.nodes[p.turn%len(p.nodes)]
		p.turn++
		s, _ = g.Follow("/feed/live", "Authorization: Bearer "+g.Token(p.user), last)
		return s != nil
	})
	return s
}

// show shows items up to one with an id. ready is called when the page has its place, if there is one.
func (p *page) show(until string, ready func()) {
	for {
		s := p.open()
		for {
			e, ok := s.Try()
			if !ok {
				break
			}
			switch e.Type {
			case "connected":
				if p.last == "" {
					p.last = e.ID
				}
				if ready != nil {
					ready()
					ready = nil
				}
				continue
			case "closed":
				continue
			case "post":
			default:
				s.Errorf("a page of %s is told %+v", p.user, e)
			}
			p.last = e.ID
			p.items = append(p.items, e.ID)
			if e.ID == until {
				s.Drop()
				return
			}
		}
	}
}

// want says that a page has shown these items, each once.
func (p *page) want(t *testing.T, ids []string) {
	t.Helper()
	if got, want := strings.Join(p.items, " "), strings.Join(ids, " "); got != want {
		t.Errorf("a page has %s, not %s", got, want)
	}
}

// Items come to any node, and pages of any node have them once, whichever node has the feed.
func TestFeedOfNodes(t *testing.T) {
	n := three(t)
	var ids []string
	sends(n.Rigs[0], "ann", "before") // what has never been there has no position that lasts
	connected := (&page{nodes: n.Rigs[:1], user: "ann"}).open()
	begin := connected.Next().ID
	for owner := range n.Rigs {
		n.Move("user:ann", owner)
		for i, g := range n.Rigs {
			streams := make([]*relaytest.Stream, len(n.Rigs))
			for k := range streams {
				p := &page{nodes: n.Rigs[k : k+1], user: "ann"}
				streams[k] = p.open()
				if e := streams[k].Next(); e.Type != "connected" {
					t.Fatal(e)
				}
			}
			id := fmt.Sprint("o", owner, "-", i)
			ids = append(ids, id)
			sends(g, "ann", id)
			sends(n.Rigs[(i+1)%3], "ann", id) // which changes nothing
			sends(n.Rigs[(i+2)%3], "ann", id+"x")
			ids = append(ids, id+"x")
			for _, s := range streams {
				want(s, "post", fmt.Sprintf(`{"n":%q}`, id), id)
				want(s, "post", fmt.Sprintf(`{"n":%q}`, id+"x"), id+"x")
				s.Drop()
			}
		}
	}
	for k := range n.Rigs { // each from another node than before
		p := &page{nodes: n.Rigs[k : k+1], user: "ann", last: begin}
		p.show(ids[len(ids)-1], nil)
		p.want(t, ids)
		p = &page{nodes: n.Rigs[k : k+1], user: "ann", last: ids[3]}
		p.show(ids[len(ids)-1], nil)
		p.want(t, ids[4:])
	}
}

// While the feed moves, and its node is cut off and killed, each item is shown once on each page, and is there once for who comes later.
func TestFeedThatMoves(t *testing.T) {
	n := three(t)
	n.Move("user:ann", 1)
	sends(n.Rigs[0], "ann", "before")
	const last = "the last"
	var pages, ready sync.WaitGroup
	var all []*page
	for i := range 6 {
		p := &page{nodes: n.Rigs[:2], user: "ann", turn: i} // the third node is killed in the end
		all = append(all, p)
		ready.Add(1)
		pages.Go(func() { p.show(last, ready.Done) })
	}
	ready.Wait()
	var ids []string
	while := func(f func()) { // items come while f is under way
		var work sync.WaitGroup
		work.Go(func() {
			for range 10 {
				id := fmt.Sprint(len(ids))
				ids = append(ids, id)
				sends(n.Rigs[len(ids)%2], "ann", id)
				sends(n.Rigs[(len(ids)+1)%2], "ann", id) // a retry of what was answered
			}
		})
		f()
		work.Wait()
	}
	for move := range 9 {
		while(func() { n.Move("user:ann", (move+2)%3) })
	}
	n.Move("user:ann", 2)
	while(func() { n.Cut(2) })
	while(n.Heal)
	n.Move("user:ann", 2)
	while(func() { n.Kill(2) })
	sends(n.Rigs[0], "ann", last)
	ids = append(ids, last)
	pages.Wait()
	for _, p := range all {
		p.want(t, ids)
	}
	for i := range 2 {
		p := &page{nodes: n.Rigs[i : i+1], user: "ann", last: ids[0]}
		p.show(last, nil)
		p.want(t, ids[1:])
	}
}
