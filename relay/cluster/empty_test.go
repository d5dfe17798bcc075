package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/mesh/fake"
)

// A channel in which there is nothing, as a user's own before anything is published to it, is followed like any other: when its owner is lost, or hands it over, its
// readers are told that nothing is lost. So is one whose history is over.
func TestEmptyChannels(t *testing.T) {
	const channels = 16
	for _, how := range []string{"lost", "handed over"} {
		for _, what := range []string{"never published to", "history over"} {
			t.Run(how+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var dead atomic.Value
					dead.Store("nobody")
					nodes := three(t, &fake.Mesh{Lose: func(from, to string, _ []byte) bool { return from == dead.Load() || to == dead.Load() }})
					of := nodes[0]
					for _, n := range nodes {
						if n.cluster.Stats().Owned > of.cluster.Stats().Owned {
							of = n
						}
					}
					left := others(nodes, of)
					var names []string
					stood := make(map[string]broker.Position)
					for i := range channels {
						channel := fmt.Sprint("user:", i)
						names = append(names, channel)
						if what == "history over" {
							of.publish(channel, "1")
						}
						left[i%2].join(channel, nil)
						stood[channel] = left[i%2].join(channel, nil).Position
					}
					time.Sleep(time.Hour) // longer than history and idempotency keys are kept
					for i, channel := range names {
						left[i%2].told(channel)
					}
					if how == "lost" {
						dead.Store(of.session)
					} else {
						of.cluster.Drain(context.Background())
						_ = of.cluster.Close()
					}
					time.Sleep(10 * time.Second)
					for i, channel := range names {
						if told := left[i%2].told(channel); strings.Contains(strings.Join(told, " "), "lost=true") || how != "lost" && len(told) > 0 {
							t.Errorf("%s: told %q", channel, told)
						}
						at := stood[channel]
						for k, n := range left {
							if r := n.join(channel, &at); !r.Recovered {
								t.Errorf("%s: resumed at node %d from %v: %+v", channel, k, at, r)
							}
						}
						if at := left[0].publish(channel, "2"); at.Seq != stood[channel].Seq+1 {
							t.Errorf("%s: after %v the next publication is at %v", channel, stood[channel], at)
						}
					}
				})
			})
		}
	}
}
