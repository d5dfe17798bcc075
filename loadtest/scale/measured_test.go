package scale

import (
	"fmt"
	"strings"
)

// run is one measurement on one core that the costs are fitted to: what weir's own counters said, a second.
type run struct {
	name        string
	connections float64
	writes      float64
	bytes       float64 // of one write
	windows     float64
	single      float64 // messages published in requests of their own
	batched     float64 // messages published among others
	cores       float64 // process_cpu_seconds_total
}

// measurements are the runs. docs/scale.md says how they were made.
var measurements = []run{
	{name: "1×1000, 20 messages/s of 128 B", connections: 1000, writes: 20_000, bytes: 206, windows: 20, single: 20, cores: .120},
	{name: "1×1000, 100 messages/s of 128 B", connections: 1000, writes: 20_000, bytes: 851, windows: 20, single: 100, cores: .130},
	{name: "1×1000, 100 messages/s of 4 KiB", connections: 1000, writes: 20_000, bytes: 20_652, windows: 20, single: 100, cores: .145},
	{name: "1×1000, 1000 messages/s of 128 B", connections: 1000, writes: 20_000, bytes: 8087, windows: 20, batched: 1000, cores: .180},
	{name: "1×1000, 20,000 messages/s of 128 B", connections: 1000, writes: 87_300, bytes: 37_135, windows: 87, batched: 20_000, cores: .662},
	{name: "1×2000, 100 messages/s of 128 B", connections: 2000, writes: 40_000, bytes: 851, windows: 20, single: 100, cores: .245},
	{name: "1×5000, 100 messages/s of 128 B", connections: 5000, writes: 93_500, bytes: 907, windows: 20, single: 100, cores: .585},
	{name: "1×10,000, 100 messages/s of 128 B", connections: 10_000, writes: 138_000, bytes: 1226, windows: 14, single: 100, cores: .868},
	{name: "1×15,000, 100 messages/s of 128 B", connections: 15_000, writes: 150_000, bytes: 1676, windows: 10, single: 100, cores: .964},
	{name: "100×50, 1000 messages/s of 128 B", connections: 5000, writes: 50_100, bytes: 206, windows: 1000, batched: 1000, cores: .320},
	{name: "1000×5, 10,000 messages/s of 128 B", connections: 5000, writes: 51_000, bytes: 207, windows: 10_000, batched: 10_000, cores: .350},
	{name: "5000×1, 50,000 messages/s of 128 B", connections: 5000, writes: 50_300, bytes: 208, windows: 50_000, batched: 50_000, cores: .402},
}

// model is what the costs say about a run, in cores.
func (c Costs) model(r run) float64 {
	return (r.writes*c.write(r.connections, r.bytes) + r.windows*c.Frame + r.single*c.Single + r.batched*c.Batched) / 1e9
}

func (c Costs) writeFit(b *strings.Builder) {
	b.WriteString("### The model beside the runs that it was fitted to\n\n")
	head(b, "run, on one core", "writes/s", "B a write", "cores, measured", "cores, by the model")
	for _, r := range measurements {
		row(b, r.name, number(r.writes), number(r.bytes), fmt.Sprintf("%.3f", r.cores), fmt.Sprintf("%.3f", c.model(r)))
	}
	b.WriteString("\n")
}
