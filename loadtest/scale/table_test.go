package scale

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// loads are the ways weir is used that the page works out.
var loads = []Load{
	{Name: "ticker", About: "one channel that everybody follows, 1000 messages a second, published in batches", Messages: 1000, Bytes: 128, Window: .05, Batched: true},
	{Name: "broadcast", About: "one channel that everybody follows, 100 messages a second, published in batches", Messages: 100, Bytes: 128, Window: .05, Batched: true},
	{Name: "event", About: "one channel that everybody follows, 10 messages a second", Messages: 10, Bytes: 128, Window: .05},
	{Name: "dashboards", About: "100 subscribers a channel, 5 messages a second", Audience: 100, Messages: 5, Bytes: 1024, Window: .05},
	{Name: "rooms", About: "10 subscribers a channel, 1 message a second", Audience: 10, Messages: 1, Bytes: 256, Window: .05},
	{Name: "notifications", About: "a channel for each connection, 1 message a minute", Audience: 1, Messages: 1. / 60, Bytes: 256, Window: .05},
}

// sizes are the nodes that the page works out.
var sizes = []Machine{{Cores: 8, Memory: 32 * gib}, {Cores: 32, Memory: 128 * gib}, {Cores: 96, Memory: 384 * gib}}

// cards are the network cards, in Gb/s.
var cards = []float64{10, 25, 100}

const gib = 1 << 30

// number writes two significant digits and a unit.
func number(v float64) string {
	unit := ""
	switch {
	case v >= 995e9:
		v, unit = v/1e12, " T"
	case v >= 995e6:
		v, unit = v/1e9, " G"
	case v >= 995e3:
		v, unit = v/1e6, " M"
	case v >= 995:
		v, unit = v/1e3, " k"
	}
	if v == 0 {
		return "0"
	}
	digits := max(1-int(math.Floor(math.Log10(v)+1e-9)), 0)
	if v >= 100 {
		v = math.Round(v/10) * 10
	}
	return fmt.Sprintf("%.*f%s", digits, v, unit)
}

// bytes writes an amount of memory.
func bytes(v float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v >= .97*u.size {
			return fmt.Sprintf("%s %s", number(v/u.size), u.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func head(b *strings.Builder, cells ...string) {
	row(b, cells...)
	b.WriteString("|" + strings.Repeat("---|", len(cells)) + "\n")
}

// Write writes the tables of docs/scale.md as Markdown.
func Write(w io.Writer, c Costs) error {
	var b strings.Builder
	c.writeCosts(&b)
	c.writeFit(&b)
	c.writeNodes(&b)
	c.writeCards(&b)
	c.writeFleets(&b)
	c.writeStorms(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (c Costs) writeCosts(b *strings.Builder) {
	b.WriteString("### Measured costs, on one core\n\n")
	head(b, "", "")
	row(b, fmt.Sprintf("a write to one of %.0f connections of a core, or fewer", c.Warm), fmt.Sprintf("%.2g µs", c.Write/1e3))
	for _, n := range []float64{5000, 15_000} {
		row(b, fmt.Sprintf("a write to one of %.0f", n), fmt.Sprintf("%.2g µs", c.write(n, 0)/1e3))
	}
	row(b, "each byte written", fmt.Sprintf("%.2g ns", c.Byte))
	row(b, "a window of a channel closed", fmt.Sprintf("%.2g µs", c.Frame/1e3))
	row(b, "a message published in a request of its own", fmt.Sprintf("%.2g µs", c.Single/1e3))
	row(b, "a message published among 100", fmt.Sprintf("%.2g µs", c.Batched/1e3))
	row(b, "a handshake, a subscription and the close", fmt.Sprintf("%.0f µs", c.Connect/1e3))
	row(b, "a ping and its pong", fmt.Sprintf("%.2g µs", c.Heartbeat/1e3))
	row(b, "memory of an idle connection, in the process", bytes(c.Idle))
	row(b, "the same, in the kernel", bytes(c.Kernel))
	b.WriteString("\n")
}

func (c Costs) writeNodes(b *strings.Builder) {
	b.WriteString("### Loads\n\n")
	head(b, "load", "")
	for _, l := range loads {
		row(b, l.Name, fmt.Sprintf("%s; %.0f B each, windows of %.0f ms", l.About, l.Bytes, l.Window*1e3))
	}
	b.WriteString("\n### One node with a card of 100 Gb/s\n\n")
	head(b, "load", "cores", "memory", "connections", "deliveries/s", "on the wire, Gb/s", "limit")
	for _, l := range loads {
		for _, m := range sizes {
			m.Gbit = 100
			x := m.Limit(c, l)
			row(b, l.Name, fmt.Sprint(m.Cores), fmt.Sprintf("%.0f GiB", m.Memory/gib), number(x.Connections), number(x.Deliveries), number(x.Gbit), x.By)
		}
	}
	b.WriteString("\n")
}

func (c Costs) writeCards(b *strings.Builder) {
	b.WriteString("### Where the network card is the limit: deliveries/s of one node\n\n")
	title := []string{"load", "B on the wire, a delivery"}
	for _, g := range cards {
		title = append(title, fmt.Sprintf("%.0f Gb/s alone", g))
	}
	for _, m := range sizes {
		title = append(title, fmt.Sprintf("card that %.0f cores fill, Gb/s", m.Cores))
	}
	head(b, title...)
	for _, l := range loads {
		_, _, wire := l.perConnection()
		cells := []string{l.Name, fmt.Sprintf("%.0f", wire/l.Messages)}
		for _, g := range cards {
			cells = append(cells, number(g*1e9/8*cardUse/(wire/l.Messages)))
		}
		for _, m := range sizes {
			m.Gbit, m.Memory = 1e6, 1<<60 // neither is in the way
			cells = append(cells, number(m.Limit(c, l).Gbit/cardUse))
		}
		row(b, cells...)
	}
	b.WriteString("\n")
}

func (c Costs) writeFleets(b *strings.Builder) {
	b.WriteString("### Nodes for 1 M and 100 M connections, with 32 cores, 128 GiB and 25 Gb/s\n\n")
	head(b, "load", "connections", "deliveries/s", "memory in all", "on the wire, Gb/s", "nodes", "of these, spare (one in ten)", "limit")
	m := sizes[1]
	m.Gbit = 25
	for _, l := range append([]Load{{Name: "idle", Window: .05}}, loads...) {
		for _, n := range []float64{1e6, 100e6} {
			x := m.Limit(c, l)
			_, _, wire := l.perConnection()
			nodes := math.Ceil(n / x.Connections)
			extra := math.Ceil(nodes / 10)
			row(b, l.Name, number(n), number(n*l.Messages), bytes(n*c.memory(l)), number(n*wire*8/1e9), fmt.Sprintf("%.0f", nodes+extra), fmt.Sprintf("%.0f", extra), x.By)
		}
	}
	b.WriteString("\n")
}

func (c Costs) writeStorms(b *strings.Builder) {
	b.WriteString("### Storms: all clients of nodes of 32 cores reconnect\n\n")
	head(b, "event", "clients for each remaining node", "half are back", "99 %", "all", "attempts each", "most waiting")
	accept := sizes[1].useful() / (c.Connect / 1e9)
	for _, t := range []struct {
		what string
		s    Storm
	}{
		{"one of ten nodes dies, clients pause at random", Storm{Clients: 100_000, First: 1, Jitter: true}},
		{"the same, clients come at once and double fixed pauses", Storm{Clients: 100_000, First: .001}},
		{"all nodes restart, clients pause at random", Storm{Clients: 1_000_000, First: 1, Jitter: true}},
		{"the same, clients come at once and double fixed pauses", Storm{Clients: 1_000_000, First: .001}},
		{"all nodes drain for 10 s before they restart", Storm{Clients: 1_000_000, First: 1, Spread: 10, Jitter: true}},
	} {
		s := t.s
		s.Accept, s.Patience, s.Most = accept, 5, 30
		o := s.Play()
		row(b, t.what, number(float64(s.Clients)), seconds(o.Half), seconds(o.Most), seconds(o.Last), fmt.Sprintf("%.2g", o.Attempts), number(float64(o.Waiting)))
	}
	fmt.Fprintf(b, "\nBy these figures a node of 32 cores accepts %s connections a second.\n", number(accept))
}

func seconds(v float64) string { return fmt.Sprintf("%.1f s", v) }
