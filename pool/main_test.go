package pool

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weir/internal/memnet"
)

func TestMain(m *testing.M) {
	if readerProcess() {
		return
	}
	goleak.VerifyTestMain(m)
}

const ms = time.Millisecond

// Shard returns the i-th shard.
func (p *Pool) Shard(i int) *Shard { return p.shards[i] }

// The encodings of the tests.
const (
	plain Encoding = iota
	other
)

// owner is an Owner that notes what it is told.
type owner struct {
	mu       sync.Mutex
	conn     *Conn
	slow     int
	missed   int
	resyncs  []*Topic
	readable int
	beats    []time.Time
	checks   []time.Time
	tail     func(dst []byte, t *Topic, f *Frame) []byte
	onSlow   func()
	onMissed func()
	onResync func(*Topic)
	onRead   func()
}

func (o *owner) Tail(dst []byte, t *Topic, f *Frame) []byte { return o.tail(dst, t, f) }

func (o *owner) Slow() {
	o.note(func() { o.slow++ })
	if o.onSlow != nil {
		o.onSlow()
	}
}

func (o *owner) Missed() {
	o.note(func() { o.missed++ })
	if o.onMissed != nil {
		o.onMissed()
	}
}

func (o *owner) Resync(t *Topic) {
	o.note(func() { o.resyncs = append(o.resyncs, t) })
	if o.onResync != nil {
		o.onResync(t)
	}
}

func (o *owner) Readable() {
	o.note(func() { o.readable++ })
	if o.onRead != nil {
		o.onRead()
	}
}

func (o *owner) Heartbeat(now time.Time) { o.note(func() { o.beats = append(o.beats, now) }) }
func (o *owner) Check(now time.Time)     { o.note(func() { o.checks = append(o.checks, now) }) }

func (o *owner) note(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// slows is how often Slow was called.
func (o *owner) slows() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slow
}

// peer is the other end of a connection: it reads all there is and keeps it.
type peer struct {
	*Conn
	owner *owner
	near  net.Conn // the pool's end
	far   net.Conn

	mu    sync.Mutex
	got   bytes.Buffer
	ended bool // the far end has read io.EOF or an error
}

// newPeer opens near in p, and reads from far until it ends.
func newPeer(p *Pool, near, far net.Conn, enc Encoding, o *owner) *peer {
	c := &peer{owner: o, near: near, far: far}
	c.Conn = p.Open(near, enc, o.tail != nil, o)
	o.conn = c.Conn
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := far.Read(buf)
			c.mu.Lock()
			c.got.Write(buf[:n])
			c.ended = err != nil
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

// memPeer is a peer over an in-memory connection.
func memPeer(p *Pool, enc Encoding) *peer { return memPeerOf(p, enc, &owner{}) }

func memPeerOf(p *Pool, enc Encoding, o *owner) *peer {
	near, far := memnet.Pipe(0)
	return newPeer(p, near, far, enc, o)
}

// block makes writes to the peer of an in-memory connection wait.
func (c *peer) block(on bool) { c.near.(*memnet.Conn).BlockWrites(on) }

// take is what the peer has read since the last call.
func (c *peer) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.got.String()
	c.got.Reset()
	return s
}

func (c *peer) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.Len()
}

func (c *peer) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// want holds what the peers of a bubble have read once everything has come to rest.
func (c *peer) want(t *testing.T, s string) {
	t.Helper()
	synctest.Wait()
	if got := c.take(); got != s {
		t.Fatalf("read %s, want %s", shorten(got), shorten(s))
	}
}

func shorten(s string) string {
	if len(s) > 300 {
		return s[:140] + "..." + s[len(s)-140:]
	}
	return `"` + s + `"`
}

// bubble runs a test with a pool, in-memory connections and time of its own.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if cfg.Shards == 0 {
			cfg.Shards = 1
		}
		p := New(cfg)
		defer p.Close()
		f(t, p)
	})
}

// idle checks that nothing is left: no queue, no subscriber, no bytes waiting.
func idle(t *testing.T, p *Pool, topics ...*Topic) {
	t.Helper()
	st := p.Stats()
	if st.Queued != 0 || st.Stalled != 0 || st.Backlog != 0 {
		t.Errorf("gauges do not return to 0: %+v", st)
	}
	for _, tp := range topics {
		for enc := range Encoding(Encodings) {
			if n := tp.Takers(enc); n != 0 {
				t.Errorf("%d takers of encoding %d are left", n, enc)
			}
		}
		for i := range tp.slots {
			sl := tp.slots[i].Load()
			if sl != nil && (sl.joined.Load() != 0 || len(sl.subs) != 0 || len(sl.waits) != 0) {
				t.Errorf("shard %d: %d joined, %d subscribers, %d waits are left", i, sl.joined.Load(), len(sl.subs), len(sl.waits))
			}
		}
	}
}

// until polls for a condition on real connections.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(ms / 2)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
		<-tick.C
	}
}

// frame is one message, for those that take plain bytes in lower case and for others in upper case.
func frame(last uint64, s string) *Frame {
	f := &Frame{Last: last, Count: 1}
	f.Bytes[plain], f.Bytes[other] = []byte(s), []byte(strings.ToUpper(s))
	return f
}
