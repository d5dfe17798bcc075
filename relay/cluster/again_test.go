package cluster_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/mesh/fake"
)

// Nodes that are killed and started again at once, some times in a minute, are as many as they are: nobody takes those of before for a majority that is not heard.
func TestKilledAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		dead := make(map[string]bool)
		m := &fake.Mesh{Lose: func(from, to string, _ []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			return dead[from] || dead[to]
		}}
		nodes := three(t, m)
		for round := range 8 {
			i := round % 2 // the third one knows all of those that were killed
			mu.Lock()
			dead[nodes[i].session] = true
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			nodes[i] = start(t, m, fmt.Sprint("node-", i), nil)
			time.Sleep(6 * time.Second)
			for _, n := range nodes {
				if why := n.cluster.Trouble(); why != "" {
					t.Fatalf("round %d: %s: %s", round, n.name, why)
				}
				n.publish("room:1", "1")
			}
		}
	})
}
