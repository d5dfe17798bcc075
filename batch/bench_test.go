package batch

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// discard is a sink that does nothing.
type discard struct{}

func (discard) Flush(*Batch)  {}
func (discard) Missed(uint64) {}

func messages(keys int) []Message {
	body := make([]byte, 128)
	ms := make([]Message, 64)
	for i := range ms {
		ms[i] = Message{Bytes: body, Group: "cursors", Key: "u" + strconv.Itoa(i%keys), Set: true}
	}
	return ms
}

func TestAppendDoesNotAllocate(t *testing.T) {
	for _, conflate := range []bool{false, true} {
		for _, opt := range []Options{{Conflate: conflate}, {Window: 50 * ms, Eager: true, Conflate: conflate}} {
			b := New(Config{})
			w := b.Window(opt, discard{})
			seq, now, msgs := uint64(0), time.Now(), messages(16)
			round := func() { // more than a batch holds, so that early flushes are among it
				for range 600 {
					seq++
					m := msgs[seq%64]
					m.Seq = seq
					w.Append(m)
				}
				now = now.Add(50 * ms)
				b.Run(now)
			}
			round()
			round()
			if n := testing.AllocsPerRun(20, round); n >= 1 && !raceEnabled { // one would be 1/600 a message
				t.Errorf("%+v: %v allocations in 600 appends and a flush", opt, n)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, conflate := range []bool{false, true} {
		for _, keys := range []int{4, 64} {
			b.Run(fmt.Sprintf("size=128/conflate=%v/keys=%d/window=64", conflate, keys), func(b *testing.B) {
				bt := New(Config{})
				w := bt.Window(Options{Window: 50 * ms, Conflate: conflate}, discard{})
				msgs, now := messages(keys), time.Now()
				b.SetBytes(128)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					m := msgs[i%64]
					m.Seq = uint64(i)
					w.Append(m)
					if i%64 == 63 {
						now = now.Add(50 * ms)
						bt.Run(now)
					}
				}
			})
		}
	}
}

// BenchmarkFlush is what one window of one message costs: the price of a lone message.
func BenchmarkFlush(b *testing.B) {
	for _, windows := range []int{1, 1000} {
		b.Run(fmt.Sprintf("windows=%d", windows), func(b *testing.B) {
			bt := New(Config{})
			ws := make([]*Window, windows)
			for i := range ws {
				ws[i] = bt.Window(Options{Window: 50 * ms, Eager: true}, discard{})
			}
			msgs, now := messages(1), time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				for _, w := range ws {
					i++
					m := msgs[0]
					m.Seq = uint64(i)
					w.Append(m)
				}
				now = now.Add(50 * ms)
				bt.Run(now)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*windows), "ns/window")
		})
	}
}
