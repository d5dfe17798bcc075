package pool

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/memnet"
	"weir/internal/rawsock"
)

// scheduler is a Scheduler that a test fills in.
type scheduler struct {
	shard    *Shard
	run      func(now time.Time) time.Time
	flushAll func(now time.Time)
	spent    atomic.Int64 // calls
	topics   atomic.Int64 // of a hundred connections, in the last one
}

func (a *scheduler) Run(now time.Time) time.Time {
	if a.run == nil {
		return time.Time{}
	}
	return a.run(now)
}

func (a *scheduler) FlushAll(now time.Time) {
	if a.flushAll != nil {
		a.flushAll(now)
	}
}

func (a *scheduler) Spent(_ time.Duration, _ time.Time, connections, topics int) {
	a.spent.Add(1)
	a.topics.Store(int64(100 * topics / max(connections, 1)))
}

func TestConfig(t *testing.T) {
	bubble(t, Config{Shards: -1}, func(t *testing.T, p *Pool) {
		n := runtime.GOMAXPROCS(0)
		if s := p.Shards(); s < n || s >= 2*n || s&(s-1) != 0 {
			t.Errorf("%d shards for %d processors", s, n)
		}
		if c := p.cfg; c.Queue != 1<<20 || c.Stall != 5*time.Second || c.Linger != 2*time.Second || c.Heartbeat != 25*time.Second || c.Check != 10*time.Second || c.Backlog != 64<<20 {
			t.Errorf("defaults: %+v", c)
		}
	})
	bubble(t, Config{Shards: 5, Heartbeat: 1}, func(t *testing.T, p *Pool) {
		if p.Shards() != 8 || p.Shard(3).Index() != 3 {
			t.Errorf("%d shards, the fourth is %d", p.Shards(), p.Shard(3).Index())
		}
	})
	if p := New(Config{Shards: 1 << 40}); p.Shards() != maxShards {
		t.Errorf("%d shards", p.Shards())
	} else {
		p.Close()
	}
}

func TestSchedulerRunsWhenItSaysOrIsWoken(t *testing.T) {
	a := &scheduler{}
	bubble(t, Config{Heartbeat: 10 * time.Hour, Scheduler: func(s *Shard) Scheduler {
		a.shard = s
		return a
	}}, func(t *testing.T, p *Pool) {
		var mu sync.Mutex
		var runs []time.Duration
		begin := time.Now()
		p.Shard(0).post(mail{kind: flushMail, then: func() { // set on the loop
			a.run = func(now time.Time) time.Time {
				mu.Lock()
				defer mu.Unlock()
				runs = append(runs, now.Sub(begin))
				if len(runs) < 4 {
					return now.Add(50 * ms)
				}
				return time.Time{}
			}
		}})
		p.Shard(0).Wake()
		time.Sleep(time.Minute)
		synctest.Wait()
		p.Shard(0).Wake()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		last := runs[len(runs)-1]
		runs = runs[max(0, len(runs)-5) : len(runs)-1]
		if last != time.Minute || runs[len(runs)-1] != 150*ms || runs[len(runs)-2] != 100*ms {
			t.Errorf("ran at %v and %v", runs, last)
		}
	})
}

// A scheduler is told of how many topics the readers have had something lately, whether they had it in one pass or in several.
func TestTopicsOfReaders(t *testing.T) {
	a := &scheduler{}
	bubble(t, Config{Shards: 1, Scheduler: func(s *Shard) Scheduler { return a }}, func(t *testing.T, p *Pool) {
		topics := []*Topic{p.Topic(Disconnect, nil), p.Topic(Disconnect, nil), p.Topic(Disconnect, nil)}
		for range 10 * sampled {
			c := memPeer(p, plain)
			for _, tp := range topics {
				c.Join(tp, 0, nil, nil)
			}
		}
		p.Flush()
		last := uint64(0)
		for _, test := range []struct {
			deliver []int
			apart   time.Duration
			want    int64
		}{{[]int{0}, 0, 100}, {[]int{0, 1}, 0, 200}, {[]int{0, 1, 2}, lately / 4, 300}, {[]int{0, 1, 2}, lately, 100}} {
			time.Sleep(time.Second)
			for _, i := range test.deliver {
				time.Sleep(test.apart)
				last++
				topics[i].Deliver(frame(last, "x"))
				p.Flush()
			}
			if got := a.topics.Load(); got != test.want {
				t.Errorf("%+v: %d topics of a hundred connections", test, got)
			}
		}
	})
}

// What a scheduler holds on one shard may be due on another: Flush returns when it has got there.
func TestFlushReachesOtherShards(t *testing.T) {
	var schedulers []*scheduler
	bubble(t, Config{Shards: 4, Scheduler: func(s *Shard) Scheduler {
		a := &scheduler{shard: s}
		schedulers = append(schedulers, a)
		return a
	}}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		var peers []*peer
		for range 8 {
			c := memPeer(p, plain)
			c.Join(tp, 0, nil, nil)
			peers = append(peers, c)
		}
		p.Flush()
		last := uint64(0)
		var pending atomic.Bool
		p.Shard(3).post(mail{kind: flushMail, then: func() {
			schedulers[3].flushAll = func(time.Time) {
				if pending.Swap(false) {
					last++
					tp.Deliver(frame(last, fmt.Sprintf("%d;", last)))
				}
			}
		}})
		p.Flush()
		for n := range 10 {
			pending.Store(true)
			p.Flush()
			for _, c := range peers {
				c.want(t, fmt.Sprintf("%d;", n+1))
			}
		}
	})
}

// What a scheduler holds when the pool is closed reaches every shard, and what is posted meanwhile is done.
func TestCloseFlushes(t *testing.T) {
	for range 50 {
		var schedulers []*scheduler
		var tp *Topic
		var c *Conn
		var posted, done atomic.Int64
		p := New(Config{Shards: 4, Scheduler: func(s *Shard) Scheduler {
			a := &scheduler{shard: s}
			schedulers = append(schedulers, a)
			return a
		}})
		tp = p.Topic(Disconnect, nil)
		var fars []*net.TCPConn
		for range 4 {
			near, far := tcpPair(t, false)
			c = p.Open(near, plain, false, &owner{})
			c.Join(tp, 0, nil, nil)
			fars = append(fars, far)
		}
		p.Flush()
		var once sync.Once
		p.Shard(0).post(mail{kind: replyMail, conn: c, then: func() {
			schedulers[0].flushAll = func(time.Time) {
				once.Do(func() { tp.Deliver(frame(1, "last;")) })
				posted.Add(1)
				c.Reply(nil, func() { done.Add(1) })
			}
		}})
		p.Close()
		for _, far := range fars {
			got := make([]byte, 10)
			if n, _ := far.Read(got); rawsock.Supported && string(got[:n]) != "last;" {
				t.Fatalf("got %q", got[:n])
			}
		}
		if posted.Load() != done.Load() || posted.Load() == 0 {
			t.Fatalf("%d posted, %d done", posted.Load(), done.Load())
		}
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Shards: 2})
		tp := p.Topic(Disconnect, nil)
		calls := 0
		var peers []*peer
		for range 4 {
			c := memPeer(p, plain)
			c.Join(tp, 0, nil, nil)
			peers = append(peers, c)
		}
		peers[0].block(true) // the flusher waits
		_ = peers[0].Send([]byte("x"))
		synctest.Wait()
		peers[1].Leave(tp, 9, nil, func() { calls++ }) // waits
		synctest.Wait()
		p.Close()
		p.Close()
		synctest.Wait()
		for i, c := range peers {
			if !c.over() || !errors.Is(c.Send(nil), ErrClosed) {
				t.Errorf("connection %d is open", i)
			}
		}
		if calls != 1 {
			t.Errorf("who waited was told %d times", calls)
		}
		idle(t, p, tp)
		// Whatever is called now does nothing, and tells.
		c := peers[2]
		c.Join(tp, 0, nil, func() { calls++ })
		c.Leave(tp, 0, nil, func() { calls++ })
		c.Reply(nil, func() { calls++ })
		c.Remove(func() { calls++ })
		c.Rejoin(tp, 0, nil)
		c.After(tp, 0, nil)
		c.Shut(nil, false)
		c.Abort()
		tp.Deliver(frame(1, "1;"))
		p.Shard(0).Wake()
		p.Flush()
		if calls != 5 || p.Full() {
			t.Errorf("%d calls, full %v", calls, p.Full())
		}
		late := memPeer(p, plain)
		synctest.Wait()
		if !late.over() || !errors.Is(late.Send([]byte("x")), ErrClosed) {
			t.Error("opened in a closed pool")
		}
		late.Remove(nil)
		idle(t, p, tp)
	})
}

// Everything at once, while the pool is closed.
func TestConcurrentClose(t *testing.T) {
	for range 30 {
		p := New(Config{Shards: 2})
		tp := p.Topic(Resync, nil)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for n := range uint64(20) {
					var c *Conn
					var far interface{ Close() error }
					if n%2 == 0 {
						near, f := memnet.Pipe(100)
						c, far = p.Open(near, plain, false, &owner{}), f
					} else {
						near, f := tcpPair(t, true)
						c, far = p.Open(near, plain, false, &owner{}), f
					}
					var told sync.WaitGroup
					told.Add(2)
					c.Join(tp, 0, []byte("joined"), told.Done)
					_ = c.Send(make([]byte, 1000))
					tp.Deliver(frame(n+1, "x"))
					if n%3 == 0 {
						c.Shut([]byte("bye"), n%2 == 0)
					}
					c.Remove(told.Done)
					told.Wait()
					_ = far.Close()
				}
			})
		}
		p.Close()
		all.Wait()
		idle(t, p, tp)
	}
}

func TestFull(t *testing.T) {
	bubble(t, Config{Backlog: 10_000}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		a := memPeer(p, plain)
		a.Join(tp, 0, nil, nil)
		synctest.Wait()
		hold, held := make(chan struct{}), make(chan struct{})
		a.Reply(nil, func() { // the loop is busy
			close(held)
			<-hold
		})
		<-held
		for n := range 20 {
			if p.Full() != (p.Stats().Backlog > 10_000) || (n > 10) != p.Full() {
				t.Errorf("%d frames: full %v, backlog %d", n, p.Full(), p.Stats().Backlog)
			}
			tp.Deliver(frame(uint64(n+1), string(make([]byte, 435)))) // twice, and 64 for itself
		}
		close(hold)
		synctest.Wait()
		if p.Full() || p.Stats().Backlog != 0 {
			t.Errorf("full %v, backlog %d", p.Full(), p.Stats().Backlog)
		}
		if len(a.take()) != 20*435 {
			t.Error("frames are missing")
		}
	})
}

func TestObserve(t *testing.T) {
	var seen []*Frame
	a := &scheduler{}
	bubble(t, Config{
		Observe: func(f *Frame, written time.Time) {
			if !written.Equal(time.Now()) {
				t.Errorf("written at %v", written)
			}
			seen = append(seen, f)
		},
		Scheduler: func(*Shard) Scheduler { return a },
	}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		c := memPeer(p, plain)
		c.Join(tp, 1, nil, nil)
		measured, old, not := frame(2, "2;"), frame(1, "1;"), frame(3, "3;")
		measured.Since, old.Since = time.Now(), time.Now()
		tp.Deliver(old) // nobody lacks it
		tp.Deliver(measured)
		tp.Deliver(not)
		c.want(t, "2;3;")
		if len(seen) != 1 || seen[0] != measured {
			t.Errorf("observed %d frames", len(seen))
		}
		if a.spent.Load() == 0 {
			t.Error("the scheduler does not know that something was written")
		}
		st := p.Stats()
		if st.Bytes != 4 || st.Writes == 0 || st.Replies != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestHeartbeat(t *testing.T) {
	bubble(t, Config{Heartbeat: 25 * time.Second, Check: 10 * time.Second, Shards: 2}, func(t *testing.T, p *Pool) {
		begin := time.Now()
		var owners []*owner
		for range 60 {
			time.Sleep(770 * ms)
			o := &owner{}
			memPeerOf(p, plain, o)
			owners = append(owners, o)
		}
		gone := owners[7]
		gone.conn.Remove(nil)
		synctest.Wait()
		beats := len(gone.beats)
		at := make(map[time.Duration]int)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for i, o := range owners {
			if o == gone {
				if len(o.beats) != beats {
					t.Error("a removed connection is visited")
				}
				continue
			}
			if n := len(o.beats); n < 11 || n > 14 {
				t.Errorf("connection %d: %d beats", i, n)
			}
			for n := 1; n < len(o.beats); n++ {
				if d := o.beats[n].Sub(o.beats[n-1]); d != 25*time.Second {
					t.Errorf("connection %d: %v between two beats", i, d)
				}
			}
			for n := range o.checks { // each follows its beat
				if d := o.checks[n].Sub(o.beats[n]); d != 10*time.Second {
					t.Errorf("connection %d: check %d is %v after the beat", i, n, d)
				}
			}
			at[o.beats[0].Sub(begin)%(25*time.Second)]++
		}
		if len(at) < 20 { // they are spread over the time
			t.Errorf("connections are visited at %d different times", len(at))
		}
	})
	// A check that would come with the next beat comes before it.
	bubble(t, Config{Heartbeat: time.Second, Check: time.Minute}, func(t *testing.T, p *Pool) {
		o := &owner{}
		memPeerOf(p, plain, o)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(o.checks) < 8 || o.checks[0].Sub(o.beats[0]) != 960*ms {
			t.Errorf("beats %v, checks %v", o.beats, o.checks)
		}
	})
}
