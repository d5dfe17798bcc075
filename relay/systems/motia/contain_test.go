package motia_test

import (
	"sync/atomic"
	"testing"

	"weir/internal/contain"
	"weir/relay/relaytest"
)

// TestPanics throws a panic where the clock's goroutine begins: it begins again, and clients are served.
func TestPanics(t *testing.T) {
	var thrown atomic.Int64
	contain.Throw(func(where string) {
		if where == "motia clock" && thrown.Add(1) == 1 {
			panic("thrown by the test")
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	g := start(t, nil)
	relaytest.Until(t, "the loop begins anew", func() bool { return thrown.Load() > 1 })
	c := g.connect("ann")
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[] type:sync]")
}
