package hooks_test

import (
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/contain"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/hooks"
)

// A panic over a question that is asked again costs that question: it is asked once more, and the session stays.
func TestPanicAnywhere(t *testing.T) {
	for _, where := range []string{"renewals", "renewal"} {
		t.Run(where, func(t *testing.T) {
			var left atomic.Int32
			left.Store(1)
			contain.Throw(func(at string) {
				if at == where && left.Add(-1) == 0 {
					panic("thrown")
				}
			})
			defer contain.Throw(nil)
			now := new(clock)
			b := newBackend(t, users(`,"expiresIn":60`))
			g := start(t, b, func(c *config.Config, _ *hooks.Config) { c.Clock = now.Now })
			p, _ := connect(g, "ann", "/ws")
			relaytest.Until(t, "another question", func() bool {
				now.advance(100 * time.Millisecond)
				return len(b.questions("/weir/connect")) > 1
			})
			if m := ask(p, "1", `"type":"ping"`); m["type"] != "pong" {
				t.Error(m)
			}
			if left.Load() > 0 {
				t.Error("nothing was thrown")
			}
		})
	}
}
