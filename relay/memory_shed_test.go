package relay

import (
	"testing"

	"weir/relay/hub"
	"weir/relay/stats"
)

// Between two looks at the memory no more items come than there was room for; what else goes on does.
func TestItemsBetweenTwoLooks(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	g.relay.hub.Memory.Use.Store(stats.MemoryNear)
	g.relay.hub.Memory.Room.Store(2 * hub.ItemCost(1))
	const item = `{"channel":"a","key":"k","data":1}`
	g.publish(item)
	g.publish(item)
	g.api(503, "POST", "/v1/publish", item)
	g.publish(`{"channel":"a","data":1}`)
	if n := g.metric(`weir_shed_total{reason="memory"}`); n != "1" {
		t.Errorf("%s are counted", n)
	}
}
