package pool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/memnet"
)

// brittle is an owner that panics.
type brittle struct {
	owner
	in string
}

func (b *brittle) fall(where string) {
	if b.in == where {
		panic(where)
	}
}
func (b *brittle) Tail(dst []byte, _ *Topic, _ *Frame) []byte { b.fall("tail"); return dst }
func (b *brittle) Slow()                                      { b.fall("slow") }
func (b *brittle) Resync(*Topic)                              { b.fall("resync") }
func (b *brittle) Beat(time.Time)                             { b.fall("beat") }
func (b *brittle) Check(time.Time)                            { b.fall("check") }

// A panic in what an owner does on the loop, wherever that is, costs its connection, and nobody else misses a frame.
func TestPanicCostsItsConnection(t *testing.T) {
	for _, where := range []string{"tail", "slow", "resync", "beat", "check", "then"} {
		var told []string
		bubble(t, Config{Shards: 1, Queue: 1000, Panic: func(v any) { told = append(told, fmt.Sprint(v)) }}, func(t *testing.T, p *Pool) {
			policy := Disconnect
			if where == "resync" {
				policy = Resync
			}
			tp := p.Topic(policy, nil)
			before := memPeer(p, plain)
			o := &brittle{in: where}
			victim, far := memnet.Pipe(0)
			c := p.Open(victim, plain, where == "tail", o)
			after := memPeer(p, plain)
			before.Join(tp, 0, nil, nil)
			c.Join(tp, 0, nil, func() { o.fall("then") })
			after.Join(tp, 0, nil, nil)
			switch where {
			case "slow", "resync":
				victim.BlockWrites(true)
				synctest.Wait()
				for _, f := range numbered(1, 3, 900) {
					tp.Deliver(f)
					synctest.Wait()
				}
				victim.BlockWrites(false)
			case "beat", "check":
				time.Sleep(80 * time.Second)
			default:
				tp.Deliver(frame(1, "1;"))
			}
			synctest.Wait()
			if len(told) == 0 || told[0] != where {
				t.Errorf("%s: told %q", where, told)
			}
			if where != "then" { // nobody knows whose that was
				if err := c.Send([]byte("x")); err == nil {
					t.Errorf("%s: the connection lives", where)
				}
			}
			before.take()
			after.take()
			tp.Deliver(frame(9, "9;"))
			before.want(t, "9;")
			after.want(t, "9;")
			_ = far.Close()
			for _, x := range []*peer{before, after} {
				x.Remove(nil)
			}
			c.Remove(nil)
			synctest.Wait()
			idle(t, p, tp)
		})
	}
}
