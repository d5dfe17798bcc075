package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// limits is the part of the page that is written by hand: it explains the figures.
//
//go:embed limits.md
var limits string

// nodes is the section about several nodes, which make bench-cluster writes.
//
//go:embed nodes.md
var nodes string

// page is what docs/benchmarks.md is made from.
type page struct {
	machine  [][2]string
	timing   timing
	from, to time.Time
	servers  []server
	cells    []cell
	outcomes map[string]map[string]outcome // cell, server
	cores    [2]string                     // of the server, of the client
}

// write writes the page as Markdown.
func (p page) write(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n`make compare` writes this page: edits by hand are lost. `make bench-cluster` writes the section about several nodes. The last three sections are written by hand, in `loadtest/peers/compare/limits.md`. [performance.md](performance.md) says what the figures mean and where they bend.\n\n")
	fmt.Fprintf(&b, "Measured on %s, from %s to %s UTC: every server on core %s of one machine (those written in Go with `GOMAXPROCS=1`), `weir bench` on core %s, over loopback, without TLS. %s after a warm-up of %v; the server is started afresh for each. Absolute figures change from machine to machine and by the hour: compare those of one table.\n\n",
		p.from.UTC().Format("2 January 2006"), p.from.UTC().Format("15:04"), p.to.UTC().Format("15:04"), p.cores[0], p.cores[1], p.timing.figure(), p.timing.warmup)
	p.writeMachine(&b)
	p.writeSummary(&b)
	for _, c := range p.cells {
		p.writeCell(&b, c)
	}
	p.writeBroken(&b)
	p.writeCommands(&b)
	b.WriteString("\n" + nodes)
	b.WriteString("\n" + limits)
	_, err := io.WriteString(w, b.String())
	return err
}

// figure describes a figure.
func (t timing) figure() string {
	if t.runs == 1 {
		return fmt.Sprintf("Each figure is one run of %v", t.run)
	}
	return fmt.Sprintf("Each figure is the median of %d runs of %v", t.runs, t.run)
}

func (p page) writeMachine(b *strings.Builder) {
	b.WriteString("| machine | |\n|---|---|\n")
	for _, r := range p.machine {
		fmt.Fprintf(b, "| %s | %s |\n", r[0], r[1])
	}
	b.WriteString("\n| server | |\n|---|---|\n")
	for _, s := range p.servers {
		fmt.Fprintf(b, "| %s | %s |\n", s.name, s.about)
	}
	b.WriteString("\nAll servers are published to with POST requests. Clients of gws and ws name the channel in the address of the handshake. nchan, gws and ws take one message a request.\n\n")
}

// writeSummary is the table of all cells and servers.
func (p page) writeSummary(b *strings.Builder) {
	fmt.Fprintf(b, "## All at a glance\n\nMedians, and in parentheses how many times better weir is. The highest rates are those at which the 99th percentile of latency stays within %v and nothing is lost. \"At least\" means that `weir bench` had no processor left: the server may do more.\n\n|  |", p99)
	for _, s := range p.servers {
		fmt.Fprintf(b, " %s |", s.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(p.servers)) + "\n")
	for _, c := range p.cells {
		fmt.Fprintf(b, "| %s (%s) |", c.title, c.measure)
		base := p.base(c)
		for _, s := range p.servers {
			o, ok := p.outcomes[c.name][s.name]
			switch {
			case !ok:
				b.WriteString(" |")
			case len(o.Runs) == 0:
				b.WriteString(" - |")
			default:
				fmt.Fprintf(b, " %s%s |", o.shown(), times(c.measure, base, o, " (%s)"))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// base is weir's figure in a cell, in its default setting when that was measured.
func (p page) base(c cell) float64 {
	for _, s := range p.servers {
		if o, ok := p.outcomes[c.name][s.name]; ok && s.target == "weir" && len(o.Runs) > 0 {
			return o.figure()
		}
	}
	return 0
}

// times is how many times better weir is; empty for weir itself and where it is not known.
func times(f figure, base float64, o outcome, format string) string {
	v := o.figure()
	if o.server.target == "weir" || base <= 0 || v <= 0 || o.floor() {
		return ""
	}
	if r := base / v; !f.lower() {
		return fmt.Sprintf(format, number(r)+"x")
	}
	return fmt.Sprintf(format, number(v/base)+"x")
}

func (p page) writeCell(b *strings.Builder, c cell) {
	fmt.Fprintf(b, "## %s\n\n| server | %s | weir is better | p50, ms | p99, ms | server, cores | client, cores | runs that count |\n|---|---|---|---|---|---|---|---|\n", c.title, c.measure)
	base := p.base(c)
	for _, name := range c.servers {
		o, ok := p.outcomes[c.name][name]
		switch {
		case !ok:
			continue
		case o.Skipped != "":
			fmt.Fprintf(b, "| %s | not measured: %s | | | | | | |\n", name, o.Skipped)
			continue
		case len(o.Runs) == 0:
			fmt.Fprintf(b, "| %s | no run counts | | | | | | 0 of %d |\n", name, len(o.Broken))
			continue
		}
		ms := func(of func(result) float64) string {
			if c.measure == memory {
				return ""
			}
			return number(o.median(of))
		}
		cpu := o.median(func(r result) float64 {
			if r.ServerCPU == nil {
				return 0
			}
			return *r.ServerCPU
		})
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %.2f | %.2f | %d of %d |\n", name, o.shown(), times(c.measure, base, o, "%s"),
			ms(func(r result) float64 { return r.LatencyMs.P50 }), ms(func(r result) float64 { return r.LatencyMs.P99 }),
			cpu, o.median(func(r result) float64 { return r.ClientCPU }), len(o.Runs), len(o.Runs)+len(o.Broken))
	}
	if chosen := p.chosen(c); chosen != "" {
		fmt.Fprintf(b, "\nConnections that are checked message by message, and whose latency is shown, at %s: %s.\n", c.servers[0], chosen)
	}
	b.WriteString("\n")
}

// chosen returns which connections the first server's runs checked; empty where the cell has no lasting connections.
func (p page) chosen(c cell) string {
	for _, r := range p.outcomes[c.name][c.servers[0]].Runs {
		if c.subscribers > 0 && c.measure != memory {
			return r.Connections.Chosen
		}
	}
	return ""
}

// writeBroken lists the runs that do not count.
func (p page) writeBroken(b *strings.Builder) {
	b.WriteString("## Runs that do not count\n\n")
	any := false
	for _, c := range p.cells {
		for _, name := range c.servers {
			o := p.outcomes[c.name][name]
			if o.Lowered > 0 {
				any = true
				fmt.Fprintf(b, "- %s, %s: most runs did not hold the rate that the search found; it was lowered by a tenth %s.\n", c.title, name, count(o.Lowered))
			}
			for _, why := range o.Broken {
				any = true
				fmt.Fprintf(b, "- %s, %s, one run: %s.\n", c.title, name, why)
			}
		}
	}
	if !any {
		b.WriteString("None.\n")
	}
	b.WriteString("\n")
}

func count(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// writeCommands writes the command of each figure.
func (p page) writeCommands(b *strings.Builder) {
	fmt.Fprintf(b, "## Commands\n\n`make compare` does all of this. By hand, from the root of the sources:\n\n```sh\n# servers\n")
	shown := places{root: ".", bin: "bin", dir: "/tmp"}
	seen := map[string]bool{}
	line := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !seen[text] {
			seen[text] = true
			b.WriteString(text + "\n")
		}
	}
	for _, s := range p.servers {
		env := ""
		if s.goes {
			env = "GOMAXPROCS=1 "
		}
		line("%staskset -c %s %s", env, p.cores[0], strings.Join(shown.fill(s.args), " "))
	}
	fmt.Fprintf(b, "\n# load; the rate that a search (--find-max) finds is run with --rate, --warmup %v and --duration %v\n", p.timing.warmup, p.timing.run)
	for _, c := range p.cells {
		for _, s := range p.servers {
			o, ok := p.outcomes[c.name][s.name]
			if !ok || o.Skipped != "" {
				continue
			}
			rate := 0.0
			if c.ceiling != nil {
				rate = math.Round(c.messages(c.ceiling[s.name]))
			}
			line("taskset -c %s bin/weir %s", p.cores[1], strings.Join(c.bench(s, p.timing, rate, c.ceiling != nil), " "))
		}
	}
	b.WriteString("```\n")
}

// number writes three significant digits, with k and M.
func number(v float64) string {
	unit := ""
	switch {
	case v >= 999_500:
		v, unit = v/1e6, " M"
	case v >= 9_995:
		v, unit = v/1e3, " k"
	}
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f%s", v, unit)
	case v >= 9.995:
		return fmt.Sprintf("%.1f%s", v, unit)
	}
	return fmt.Sprintf("%.2f%s", v, unit)
}
