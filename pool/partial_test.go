package pool

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// record is a line with its writer, its number and a body that belongs to both.
func record(writer, n, size int) []byte {
	return fmt.Appendf(nil, "%d %d %s\n", writer, n, strings.Repeat(string(rune('a'+(writer+n)%26)), size))
}

// Socket buffers of a few kilobytes, a reader that takes it easy, and several writers: the bytes arrive
// whole and in the order of each writer.
func TestShortWrites(t *testing.T) {
	const writers, records = 4, 300
	p := newPool(t, Config{Queue: 64 << 20, Shards: 2})
	tp := p.Topic(Disconnect, nil)
	near, far := tcpPair(t, true)
	c := p.Open(near, plain, false, &owner{})
	c.Join(tp, 0, nil, nil)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range records {
				b := record(w, n, n*37%3000)
				if w == 0 {
					tp.Deliver(frame(uint64(n+1), string(b)))
				} else if err := c.Send(b); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	next := [writers]int{}
	in := bufio.NewReaderSize(far, 512)
	for range writers * records {
		line, err := in.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var w, n int
		if _, err := fmt.Sscanf(string(line), "%d %d", &w, &n); err != nil || w >= writers {
			t.Fatalf("broken line %s", shorten(string(line)))
		}
		if n != next[w] || string(line) != string(record(w, n, n*37%3000)) {
			t.Fatalf("got record %d of writer %d, want %d: %s", n, w, next[w], shorten(string(line)))
		}
		next[w]++
	}
	all.Wait()
	until(t, "queue to drain", func() bool { return p.Stats().Stalled == 0 })
	c.Remove(nil)
	p.Flush()
	idle(t, p, tp)
}

// A pass that holds more than goes into one call, for a reader that takes it piece by piece.
func TestLargePass(t *testing.T) {
	for _, tailed := range []bool{false, true} {
		p := newPool(t, Config{Shards: 1, Queue: 8 << 20})
		tp := p.Topic(Disconnect, nil)
		o := &owner{}
		id := func(dst []byte, last uint64) []byte { return fmt.Appendf(dst, "id %d\n", last) }
		if tailed {
			o.tail = func(dst []byte, _ *Topic, f *Frame) []byte { return id(dst, f.Last) }
		}
		near, far := tcpPair(t, true)
		_ = far.SetReadBuffer(1 << 20)
		c := newPeer(p, near, far, plain, o)
		c.Join(tp, 0, nil, nil)
		var want []byte
		c.Reply(nil, func() { // one pass
			for n := range uint64(40) {
				size := 10_000
				if n%15 == 7 {
					size = 200_000
				}
				b := record(0, int(n), size)
				tp.Deliver(frame(n+1, string(b)))
				want = append(want, b...)
				if tailed {
					want = id(want, n+1)
				}
			}
			c.Reply([]byte("reply\n"), nil)
		})
		p.Flush()
		c.Shut([]byte("bye\n"), false)
		until(t, "the end", c.over)
		if got := c.take(); got != string(want)+"reply\nbye\n" {
			t.Errorf("tailed %v: got %d bytes, want %d", tailed, len(got), len(want)+10)
		}
		c.Remove(nil)
	}
}

// A write that the socket takes a part of, and the queue not all of the rest: what has begun is finished,
// whichever way the others go.
func TestOverflowWithinOneWrite(t *testing.T) {
	body := strings.Repeat("x", 300_000) + "\n" // more than such a socket takes at once
	for _, policy := range []Slow{Disconnect, Resync} {
		p := newPool(t, Config{Shards: 1, Queue: 700_000})
		tp := p.Topic(policy, nil)
		o := &owner{}
		near, far := tcpPair(t, true)
		c := p.Open(near, plain, false, o)
		o.onSlow = func() { c.Shut([]byte("end\n"), false) }
		o.onResync = func(tp *Topic) {
			c.Rejoin(tp, 100, []byte("resynced\n"))
			c.Shut([]byte("end\n"), false)
		}
		c.Join(tp, 0, nil, nil)
		c.Reply(nil, func() { // one pass
			for n := range 10 {
				tp.Deliver(frame(uint64(n+1), body))
			}
		})
		_ = far.SetReadBuffer(1 << 20)
		got, err := io.ReadAll(far)
		want := "end\n"
		if policy == Resync {
			want = "resynced\nend\n"
		}
		frames := strings.Count(string(got), "x\n")
		if err != nil || frames == 0 || frames == 10 || string(got) != strings.Repeat(body, frames)+want {
			t.Errorf("policy %d: %d frames, %v: %s", policy, frames, err, shorten(string(got)))
		}
		c.Remove(nil)
		p.Flush()
		idle(t, p, tp)
	}
}
