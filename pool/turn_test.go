package pool

import (
	"slices"
	"testing"
	"testing/synctest"
)

// A pass goes round the connections in the order in which they came, and begins with another one each time: in many
// passes each of them is about as often in the last tenth as any other.
func TestPassesBeginElsewhere(t *testing.T) {
	const conns, passes = 50, 1000
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		var order []int // of the pass; written by the loop
		tp := p.Topic(Disconnect, nil)
		for i := range conns {
			memPeerOf(p, plain, &owner{tail: func(dst []byte, _ *Topic, _ *Frame) []byte {
				order = append(order, i)
				return dst
			}}).Join(tp, 0, nil, nil)
		}
		synctest.Wait()
		late := make([]int, conns) // how often each was in the last tenth
		for n := range uint64(passes) {
			order = order[:0]
			tp.Deliver(frame(n+1, "x"))
			synctest.Wait()
			if len(order) != conns {
				t.Fatalf("written to %d connections", len(order))
			}
			for i := range order {
				if next := order[(i+1)%conns]; next != (order[i]+1)%conns {
					t.Fatalf("after %d comes %d: %v", order[i], next, order)
				}
			}
			for _, c := range order[conns-conns/10:] {
				late[c]++
			}
		}
		if least, most := slices.Min(late), slices.Max(late); least < passes/10-10 || most > passes/10+10 {
			t.Errorf("in the last tenth %d to %d times of %d", least, most, passes)
		}
	})
}
