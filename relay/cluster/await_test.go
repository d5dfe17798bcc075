package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// A move that another node is asked for, and that takes longer than a call may, is waited for; what waits for it ends with its context.
func TestMoveTakesLongerThanItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late, frames atomic.Int64
		nodes := three(t, &fake.Mesh{Fate: func(_, _ string) []time.Duration { // in order
			return []time.Duration{time.Duration(late.Load() + frames.Add(1))}
		}})
		const channel = "room:1"
		of := owner(nodes, channel)
		to, asked := others(nodes, of)[0], others(nodes, of)[1]
		p := of.cluster.PartitionOf(channel)
		for i, large := 0, 0; large < 5; i++ { // each goes in a call of its own
			name := fmt.Sprint("large:", i)
			if of.cluster.PartitionOf(name) != p {
				continue
			}
			large++
			if _, err := of.broker.Publish(name, &broker.Publication{Op: broker.Set, Key: "k", Data: []byte(`"` + strings.Repeat("x", 300<<10) + `"`)}); err != nil {
				t.Fatal(err)
			}
		}
		late.Store(int64(300 * time.Millisecond))
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := asked.cluster.MoveFrom(ctx, p, to.name)
		if took := time.Since(begun); err != nil || took < 2*time.Second || owner(nodes, channel) != to {
			t.Errorf("after %v: %v; %s owns it", took, err, owner(nodes, channel).name)
		}
		late.Store(0)
		soon, end := context.WithTimeout(context.Background(), time.Second)
		defer end()
		if err := asked.cluster.MoveFrom(soon, p, "nobody"); !errors.Is(err, cluster.ErrNoNode) && err == nil {
			t.Errorf("moved to a node that there is not: %v", err)
		}
	})
}
