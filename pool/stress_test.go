package pool

import (
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"weir/internal/memnet"
)

// TestStress lets publishers, joins, leaves and replies run against each other on sockets and in-memory
// connections, over several shards, and holds what each connection reads against its story.
func TestStress(t *testing.T) {
	for _, queue := range []int{64 << 20, 3000} {
		stress(t, queue)
	}
}

func stress(t *testing.T, queue int) {
	p := newPool(t, Config{Shards: 2, Queue: queue})
	channels := []*channel{newChannel(p, 0, Resync), newChannel(p, 1, Resync), newChannel(p, 2, Resync)}
	done := make(chan struct{})
	var publishers, clients sync.WaitGroup
	for _, ch := range channels {
		publishers.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(ch.index)))
			for n := 0; ; n++ {
				select {
				case <-done:
					ch.flush()
					return
				default:
				}
				if n < 1000 { // what small sockets take in a reasonable time
					for range r.IntN(4) {
						ch.accept(r.IntN(200), nil)
					}
				}
				ch.flush()
				runtime.Gosched()
			}
		})
	}
	var members []*member
	for i := range 12 {
		m := &member{story: newStory(), joined: make([]bool, len(channels))}
		m.story.slow = queue < 1<<20
		var near, far net.Conn
		if i%3 == 0 {
			near, far = memnet.Pipe(1000)
		} else {
			near, far = tcpPair(t, i%3 == 1)
		}
		o := &owner{onResync: func(t *Topic) {
			for _, ch := range channels {
				if ch.Topic == t {
					ch.at(func(at uint64) { m.Rejoin(t, at, rec(ch.index, 'R', at, 0)) })
				}
			}
		}}
		m.peer = newPeer(p, near, far, plain, o)
		members = append(members, m)
	}
	var owed atomic.Int64
	then := func() { owed.Add(-1) }
	for i, m := range members {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			for range 200 {
				ch := channels[r.IntN(len(channels))]
				leave := func(at uint64) {
					owed.Add(1)
					m.story.leave(ch.index, at)
					m.Leave(ch.Topic, at, rec(ch.index, 'L', at, 0), then)
				}
				join := func(at uint64) {
					owed.Add(1)
					m.Join(ch.Topic, at, rec(ch.index, 'J', at, r.IntN(100)), then)
				}
				switch joined := m.joined[ch.index]; {
				case !joined:
					ch.at(join)
					m.joined[ch.index] = true
				case r.IntN(3) == 0:
					ch.at(leave)
					ch.at(join)
				case r.IntN(2) == 0:
					ch.at(leave)
					m.joined[ch.index] = false
				default:
					ch.at(func(at uint64) { m.After(ch.Topic, at, rec(ch.index, 'A', at, 0)) })
					_ = m.Send(rec(0, 'S', 0, r.IntN(50)))
				}
				if r.IntN(10) == 0 {
					p.Flush()
				}
			}
		})
	}
	clients.Wait()
	close(done)
	publishers.Wait()
	p.Flush()
	until(t, "queues to drain", func() bool {
		p.Flush() // what owners answered to being told
		st := p.Stats()
		return st.Stalled == 0 && owed.Load() == 0
	})
	for i, m := range members {
		owed.Add(1)
		m.Reply(nil, then)
		m.Shut(rec(0, 'E', 0, 0), false)
		until(t, "the last bytes", m.over)
		rest, err := m.story.tell(m.take())
		if err != nil || rest != "" || !m.story.over {
			t.Fatalf("connection %d: %v; over %v, rest %q", i, err, m.story.over, rest)
		}
		for _, ch := range channels {
			if m.owner.slows() > 0 {
				break // given up: what it has got is the beginning of a story
			}
			if err := m.story.caughtUp(ch.index, ch.accepted); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
		m.Remove(nil)
	}
	p.Flush()
	var topics []*Topic
	for _, ch := range channels {
		topics = append(topics, ch.Topic)
	}
	idle(t, p, topics...)
	if owed.Load() != 0 {
		t.Errorf("then: %d calls are missing", owed.Load())
	}
	p.Close()
}
