package batch

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counter is a sink that checks the order in which the messages of several writers come.
type counter struct {
	t    *testing.T
	next [4]uint64
	seen atomic.Int64
}

func (c *counter) Flush(b *Batch) {
	b.Each(func(e Entry) {
		writer, n := e.Bytes[0], binary.BigEndian.Uint64(e.Bytes[1:])
		if n != c.next[writer] {
			c.t.Errorf("message %d of writer %d, want %d", n, writer, c.next[writer])
		}
		c.next[writer] = n + 1
	})
	c.seen.Add(int64(b.Count))
}

func (c *counter) Missed(last uint64) { c.t.Errorf("%d is missing", last) }

// Several writers share each window with the one loop. Everything must come once, in the order of its
// writer, however Seal and Expedite fall in between.
func TestConcurrentAppend(t *testing.T) {
	const each = 3000
	for _, opt := range []Options{{}, {Window: ms, Eager: true}, {Window: ms, Conflate: true}} {
		b := New(Config{})
		done, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-done:
					b.FlushAll(time.Now())
					return
				default:
					b.Run(time.Now())
					runtime.Gosched()
				}
			}
		}()
		sinks := [2]counter{{t: t}, {t: t}}
		ws := [2]*Window{b.Window(opt, &sinks[0]), b.Window(opt, &sinks[1])}
		var writers sync.WaitGroup
		for writer := range 4 {
			writers.Go(func() {
				for n := range uint64(each) {
					body := binary.BigEndian.AppendUint64([]byte{byte(writer)}, n)
					for i, w := range ws {
						w.Append(Message{Bytes: body, Seq: n, Exclude: "c"})
						switch {
						case n%100 == 7:
							w.Seal()
						case n%50 == uint64(i):
							w.Expedite()
						}
					}
				}
			})
		}
		writers.Wait()
		close(done)
		<-stopped
		for i := range sinks {
			if got := sinks[i].seen.Load(); got != 4*each {
				t.Errorf("%+v: window %d flushed %d messages, want %d", opt, i, got, 4*each)
			}
		}
		if b.Waiting() != 0 {
			t.Errorf("%d bytes wait", b.Waiting())
		}
	}
}
