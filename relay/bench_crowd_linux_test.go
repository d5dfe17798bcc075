package relay

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/broker"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/presence"
)

// crowd is the members of one channel, some of whom follow who else is there.
type crowd struct {
	relay *Relay
	feed  *hub.Fanout
	here  []*member // who will leave, in this order

	mu     sync.Mutex
	delays []time.Duration // from a join to its arrival, at one of those who follow
}

const hall = "hall:1"

// gather fills the hall.
func gather(b *testing.B, r *Relay, members, watchers, leaving int) *crowd {
	c := &crowd{relay: r}
	for i := range members - leaving {
		s := newMember(fmt.Sprint("m", i))
		r.hub.Presence.Join(hall, s.id, s.identity)
	}
	for range leaving {
		c.join()
	}
	ch, err := r.hub.Broker.Join(presence.Channel(hall), broker.JoinRequest{}, func(out broker.Subscriber, reply broker.Reply) {
		c.feed = out.(*hub.Fanout)
		c.feed.Begin(reply.Position)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ch.Leave)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	var reading, joined sync.WaitGroup
	b.Cleanup(reading.Wait) // after the connections are closed
	for i := range watchers {
		far, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		near, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		reading.Go(func() { // ends with the connection
			if i == 0 {
				c.listen(far)
			} else {
				_, _ = io.Copy(io.Discard, far)
			}
		})
		s := newMember(fmt.Sprint("w", i))
		s.conn = r.hub.Pool.Open(near, hub.WS, false, s)
		joined.Add(1)
		s.conn.Join(c.feed.Topic, c.feed.Ordinal.Load(), nil, joined.Done)
		b.Cleanup(func() {
			s.conn.Remove(nil)
			_ = near.Close()
			_ = far.Close()
		})
	}
	joined.Wait()
	return c
}

// join has somebody join whose name says when that was.
func (c *crowd) join() {
	s := newMember(fmt.Sprint("at", time.Now().UnixNano()))
	c.relay.hub.Presence.Join(hall, s.id, s.identity)
	c.here = append(c.here, s)
}

// leave has whoever has been there longest leave.
func (c *crowd) leave() {
	c.relay.hub.Presence.Leave(hall, c.here[0].id, c.here[0].user, false)
	c.here = c.here[1:]
}

// member is a user, and perhaps a connection that follows who is there.
type member struct {
	owner
	id, user string
	identity *auth.Identity
	conn     *pool.Conn
}

func newMember(user string) *member {
	return &member{id: user, user: user, identity: &auth.Identity{User: user, Name: "Somebody", Avatar: "https://example.com/a.png"}}
}

// listen notes how long joins take to arrive: the names of those who join say when they did.
func (c *crowd) listen(nc net.Conn) {
	buf := make([]byte, 1<<16)
	rest := ""
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		now := time.Now().UnixNano()
		text := rest + string(buf[:n])
		const mark = `"key":"at`
		for {
			_, after, ok := strings.Cut(text, mark)
			name, more, whole := strings.Cut(after, `"`)
			if !ok || !whole {
				break
			}
			if at, err := strconv.ParseInt(name, 10, 64); err == nil && strings.HasPrefix(more, `,"data"`) {
				c.mu.Lock()
				c.delays = append(c.delays, time.Duration(now-at))
				c.mu.Unlock()
			}
			text = more
		}
		rest = text[max(0, len(text)-256):]
	}
}

// processor is the time that the process has spent computing.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A crowd of 20,000, of whom a thousand leave each second and as many come, told to those who follow it: how long a
// join takes to arrive, how many writes that is, and what it costs, reading included. One operation is one join and
// one leave.
func BenchmarkCrowd(b *testing.B) {
	const rate = 1000
	for _, watchers := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprintf("members=20000/joins=%d/leaves=%d/watchers=%d", rate, rate, watchers), func(b *testing.B) {
			g := serving(b)
			c := gather(b, g.relay, 20000, watchers, rate)
			meter := &c.feed.Namespace.Meter
			writes, deliveries := meter.Frames.Load(), meter.Messages.Load()
			used, begin := processor(), time.Now()
			due, pace := begin, time.NewTimer(0)
			for b.Loop() { // they come at a rate, whatever becomes of that
				<-pace.C
				due = due.Add(time.Second / rate)
				pace.Reset(time.Until(due))
				c.join()
				c.leave()
			}
			took := time.Since(begin)
			b.ReportMetric(float64(processor()-used)/float64(took), "cores")
			b.ReportMetric(float64(meter.Messages.Load()-deliveries)/took.Seconds(), "deliveries/s")
			b.ReportMetric(float64(meter.Frames.Load()-writes)/took.Seconds(), "writes/s")
			b.ReportMetric(float64(b.N)/took.Seconds(), "joins/s")
			b.ReportMetric(float64(meter.Dropped.Load()), "dropped")
			c.mu.Lock()
			defer c.mu.Unlock()
			slices.Sort(c.delays)
			if n := len(c.delays); n > 0 {
				b.ReportMetric(float64(c.delays[n/2].Milliseconds()), "p50-ms")
				b.ReportMetric(float64(c.delays[n*99/100].Milliseconds()), "p99-ms")
			}
			if n := len(c.delays); n < b.N*9/10 {
				b.Errorf("of %d joins %d were seen", b.N, n)
			}
		})
	}
}
