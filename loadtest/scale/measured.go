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
	{name: "1×1000, 20 messages/s of 128 B", connections: 1000, writes: 19_324, bytes: 209, windows: 20, single: 20, cores: .087},
	{name: "1×1000, 200 messages/s of 128 B", connections: 1000, writes: 19_985, bytes: 1656, windows: 20, single: 200, cores: .117},
	{name: "1×1000, 2000 messages/s of 128 B", connections: 1000, writes: 19_987, bytes: 16_153, windows: 20, batched: 2002, cores: .173},
	{name: "1×1000, 20 messages/s of 1 KiB", connections: 1000, writes: 19_983, bytes: 1102, windows: 20, single: 20, cores: .097},
	{name: "1×1000, 200 messages/s of 1 KiB", connections: 1000, writes: 19_941, bytes: 10_595, windows: 20, single: 200, cores: .156},
	{name: "1×5000, 200 messages/s of 128 B", connections: 5000, writes: 99_899, bytes: 1653, windows: 20, single: 200, cores: .480},
	{name: "500×10, 10,000 messages/s of 128 B", connections: 5000, writes: 99_890, bytes: 208, windows: 10_038, single: 10_038, cores: .679},
}

// model is what the costs say about a run, in cores.
func (c Costs) model(r run) float64 {
	return (r.writes*c.write(r.connections, r.bytes) + r.windows*c.Frame + r.single*c.Single + r.batched*c.Batched) / 1e9
}

func (c Costs) writeFit(b *strings.Builder) {
	b.WriteString("### How well the model gives back what it was fitted to\n\n")
	head(b, "run, on one core", "writes/s", "B a write", "cores, measured", "cores, by the model")
	for _, r := range measurements {
		row(b, r.name, number(r.writes), number(r.bytes), fmt.Sprintf("%.3f", r.cores), fmt.Sprintf("%.3f", c.model(r)))
	}
	b.WriteString("\n")
}
