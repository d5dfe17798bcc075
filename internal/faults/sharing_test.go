//go:build faults

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sharing is clients on all nodes that write and read the same things. What they are told is held against what each of these could have told them if one thing happened at a time.
type sharing struct {
	testing.TB
	nodes   []*server
	begun   time.Time
	list    []*shared
	ctx     context.Context // ended by end
	stop    context.CancelFunc
	working sync.WaitGroup
}

// shared is one of the things.
type shared struct {
	channel string // whose owner has it
	check   func(limit time.Duration) error

	wrote, read, open, refused atomic.Int64 // operations, by how they ended
}

func share(t testing.TB, nodes []*server) *sharing {
	ctx, stop := context.WithCancel(context.Background())
	s := &sharing{TB: t, nodes: nodes, begun: time.Now(), ctx: ctx, stop: stop}
	t.Cleanup(s.end)
	return s
}

// add starts clients of something, which has a channel. They end with their context.
func (s *sharing) add(x *shared, check func(limit time.Duration) error, clients int, client func(ctx context.Context, number int)) {
	x.check = check
	s.list = append(s.list, x)
	for i := range clients {
		s.working.Go(func() { client(s.ctx, i) }) // ended by end
	}
}

// end ends the clients.
func (s *sharing) end() {
	s.stop()
	s.working.Wait()
}

// now is the time by the clock of the histories.
func (s *sharing) now() time.Duration { return time.Since(s.begun) }

// during does something, and waits until everything is written and read after it.
func (s *sharing) during(what string, fault func()) {
	s.Helper()
	begin := time.Now()
	fault()
	for _, x := range s.list {
		wrote, read := x.wrote.Load(), x.read.Load()
		until(s, what+": "+x.channel+" goes on", func() bool { return x.wrote.Load() > wrote+2 && x.read.Load() > read+2 })
	}
	s.Logf("%s: all went on after %v", what, time.Since(begin).Round(time.Millisecond))
}

// move has a node own everything.
func (s *sharing) move(node int) {
	s.Helper()
	s.during(fmt.Sprintf("node %d gets all", node), func() {
		for _, x := range s.list {
			until(s, x.channel+" is moved", func() bool {
				asked := s.nodes[rand.IntN(len(s.nodes))]
				return exec.Command(asked.binary(), "cluster", "move", x.channel, fmt.Sprint("weir-", node), "--admin", "http://"+asked.admin).Run() == nil
			})
		}
	})
}

// trouble has the node that owns everything killed and moves it all, so often. With stops it is stopped, too, for as long as others need to take over, and a little longer: what it was about to
// store is still waited for then.
func (s *sharing) trouble(rounds int, stops bool) {
	s.Helper()
	for i := range rounds {
		owner, next, pause := s.nodes[i%3], s.nodes[(i+1)%3], time.Duration(3+i%3)*time.Second
		s.move(i % 3)
		s.during("kill -9 of the owner", owner.kill)
		s.during("it is back", func() { owner.start() })
		if !stops {
			continue
		}
		ready(s, s.nodes)
		s.move((i + 1) % 3)
		s.during(fmt.Sprintf("the owner is stopped for %v", pause), func() { next.stopFor(pause) })
		ready(s, s.nodes)
	}
}

// judge ends the clients, and judges what they were told.
func (s *sharing) judge() {
	s.Helper()
	s.end()
	var wrote, read, open, refused int64
	for _, x := range s.list {
		wrote, read, open, refused = wrote+x.wrote.Load(), read+x.read.Load(), open+x.open.Load(), refused+x.refused.Load()
		if err := x.check(time.Minute); err != nil {
			s.Errorf("%s: %v", x.channel, err)
		}
	}
	s.Logf("of %d: %d writes and %d reads were answered, %d writes were not, %d were refused", len(s.list), wrote, read, open, refused)
}
