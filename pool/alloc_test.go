package pool

import (
	"io"
	"testing"

	"weir/internal/rawsock"
)

// Nothing on the way of a frame allocates per subscriber.
func TestDeliverDoesNotAllocate(t *testing.T) {
	const subs = 200
	p := newPool(t, Config{Shards: 1})
	t1, t2 := p.Topic(Disconnect, nil), p.Topic(Resync, nil)
	for i := range subs {
		near, far := tcpPair(t, false)
		go func() { _, _ = io.Copy(io.Discard, far) }()
		o := &owner{tail: func(dst []byte, _ *Topic, _ *Frame) []byte { return append(dst, "id"...) }}
		c := p.Open(near, plain, i%4 == 0, o)
		c.Join(t1, 0, nil, nil)
		c.Join(t2, 0, nil, nil)
	}
	last := uint64(0)
	round := func() {
		last++
		t1.Deliver(frame(last, "hello"))
		t2.Deliver(frame(last, "hello"))
		t2.Deliver(frame(last, "again"))
		p.Flush()
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(50, round); n > 40 && rawsock.Supported && !raceEnabled { // frames and Flush make some
		t.Errorf("%v allocations for 3 frames and %d subscribers", n, subs)
	}
}
