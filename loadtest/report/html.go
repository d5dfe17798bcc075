package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"ms": digits, "count": Count,
}).Parse(pageText))

// view is what the page's template shows.
type view struct {
	Title  string
	Runs   []runView
	Tiles  []tile
	Plots  []plotView
	Rows   []row
	Probes []probeView
	Single *Result
}

type runView struct {
	Name   string
	Colour int
	Detail string
	Valid  bool
	Why    []string
}

type tile struct{ Name, Value, Note string }

type plotView struct {
	Title, Note string
	SVG         template.HTML
	Legend      []legend
}

type legend struct {
	Name   string
	Colour int
	Dashed bool
}

type row struct {
	Name   string
	Values []string
	Ratios []string
}

type probeView struct{ Rate, Deliveries, P99, Outcome string }

// HTML writes a self-contained page about one run, or several side by side: styles and plots are
// inline, nothing is fetched, nothing is run.
func HTML(w io.Writer, runs ...*Result) error {
	if len(runs) == 0 {
		return fmt.Errorf("report: expected one run or more")
	}
	v := view{Title: runs[0].title(), Rows: compareRows(runs)}
	for i, r := range runs {
		run := runView{Name: r.title(), Colour: i % 6, Valid: r.Valid, Why: r.InvalidBecause}
		run.Detail = fmt.Sprintf("%s · %s, %.4g s · %s · %s", r.URL, r.loop(), r.Seconds, r.Setup, r.Machine)
		v.Runs = append(v.Runs, run)
	}
	if len(runs) == 1 {
		r := runs[0]
		v.Single = r
		v.Tiles = r.tiles()
		for _, p := range r.Search {
			outcome := "holds"
			if !p.Held {
				outcome = p.Why
			}
			v.Probes = append(v.Probes, probeView{Count(p.Rate) + "/s", Count(p.Deliveries) + "/s", digits(p.P99) + " ms", outcome})
		}
	} else {
		v.Title = "Comparison of " + strconv.Itoa(len(runs)) + " runs"
	}
	for _, p := range plots(runs) {
		pv := plotView{Title: p.title, Note: p.note, SVG: p.draw()}
		for _, c := range p.curves {
			pv.Legend = append(pv.Legend, legend{c.name, c.colour, c.dashed})
		}
		v.Plots = append(v.Plots, pv)
	}
	return page.Execute(w, v)
}

// tiles are the numbers people look for first.
func (res *Result) tiles() []tile {
	first := tile{"deliveries", Count(res.DeliveriesPerSecond) + "/s", Count(res.PublishesPerSecond) + " publishes/s"}
	switch res.Measure {
	case "connect":
		first = tile{"connections", Count(res.ConnectsPerSecond) + "/s", "handshake and subscribe"}
	case "script":
		first = tile{"runs", Count(res.runs()) + "/s", Count(res.DeliveriesPerSecond) + " deliveries/s"}
	case "echo":
		first = tile{"responses", Count(res.responses()) + "/s", Count(res.PublishesPerSecond) + " requests/s"}
	case "publish":
		first = tile{"publishes", Count(res.PublishesPerSecond) + "/s", fmt.Sprintf("%d in a request", res.Setup.Batch)}
	}
	cpu := tile{"target", "not known", "no --pid or --metrics"}
	if res.ServerCPU != nil {
		cpu.Value, cpu.Note = fmt.Sprintf("%.2f cores", *res.ServerCPU), ""
	}
	if m := res.ServerMemory; m != nil {
		cpu.Note = Bytes(float64(m.Peak)) + " at most"
	}
	who, why := res.limit()
	millis := func(v float64) string {
		if res.LatencyMs.Count == 0 {
			return "none"
		}
		return digits(v) + " ms"
	}
	return []tile{
		first,
		{"p50", millis(res.LatencyMs.P50), "latency " + res.latencyOf()},
		{"p99", millis(res.LatencyMs.P99), "p99.9 " + digits(res.LatencyMs.P999) + ", max " + digits(res.LatencyMs.Max) + " ms"},
		{"lost", Count(float64(res.Lost)), fmt.Sprintf("of %d; %d duplicated, %d reordered, %d corrupted", res.Expected, res.Duplicated, res.Reordered, res.Corrupted)},
		cpu,
		{"load generator", fmt.Sprintf("%.2f cores", res.ClientCPU), fmt.Sprintf("of %d; sent late by %.2f ms at p99", res.ClientCores, res.OwnLag.Send)},
		{"the limit was", who, why},
	}
}

// plots draws the runs: one run in detail, several as one line each.
func plots(runs []*Result) []plot {
	one := len(runs) == 1
	millis := func(v float64) string { return fmt.Sprintf("%.4g ms", v) }
	latency := plot{title: "Latency over time", format: millis}
	curves := plot{title: "Latency by percentile", format: millis, marks: ninesMarks}
	rate := plot{title: "Throughput", format: func(v float64) string { return Count(v) + "/s" }}
	cpu := plot{title: "CPU", note: "cores", format: func(v float64) string { return fmt.Sprintf("%.3g", v) }}
	memory := plot{title: "Memory of the target", format: Bytes, binary: true}
	if one {
		latency.note = "percentiles of each interval"
		for _, s := range runs[0].Stages {
			if s.Slow > 0 || s.Herd {
				latency.bands = append(latency.bands, [2]float64{s.From, s.To})
			}
		}
	}
	for i, r := range runs {
		name := func(what string) string {
			if one {
				return what
			}
			return r.title()
		}
		colour := i % 6
		add := func(p *plot, what string, colour int, dashed bool, of func(Point) float64) {
			c := curve{name: what, colour: colour, dashed: dashed}
			for _, pt := range r.Series {
				c.x, c.y = append(c.x, pt.At), append(c.y, of(pt))
			}
			p.curves = append(p.curves, c)
		}
		measured := func(of func(Point) float64) func(Point) float64 {
			return func(p Point) float64 { return knownIf(p.Max > 0, of(p)) }
		}
		p99 := measured(func(p Point) float64 { return p.P99 })
		if one {
			add(&latency, "max", 2, true, measured(func(p Point) float64 { return p.Max }))
			add(&latency, "p99", 1, false, p99)
			add(&latency, "p50", 0, false, measured(func(p Point) float64 { return p.P50 }))
		} else {
			latency.note = "99th percentile of each interval"
			add(&latency, r.title(), colour, false, p99)
		}
		c := curve{name: name("latency"), colour: colour}
		for _, s := range r.Curve {
			c.x, c.y = append(c.x, nines(s.Percentile)), append(c.y, s.Ms)
		}
		curves.curves = append(curves.curves, c)
		if r.Measure == "publish" || r.Measure == "connect" {
			add(&rate, name("publishes"), colour, false, func(p Point) float64 { return p.Publishes })
		} else {
			add(&rate, name("deliveries"), colour, false, func(p Point) float64 { return p.Deliveries })
		}
		if r.ServerCPU != nil {
			add(&cpu, name("target"), colour, false, func(p Point) float64 { return knownIf(p.Memory > 0, p.ServerCPU) })
			add(&memory, name("target"), colour, false, func(p Point) float64 { return knownIf(p.Memory > 0, float64(p.Memory)) })
		}
		if one {
			add(&cpu, "load generator", 3, true, func(p Point) float64 { return p.ClientCPU })
		}
	}
	list := []plot{latency, curves, rate}
	for _, p := range []plot{cpu, memory} {
		if len(p.curves) > 0 {
			list = append(list, p)
		}
	}
	return list
}

// knownIf returns v, or NaN, which plots leave out, when it is not known: nothing was measured in the interval,
// or the target's usage could not be read.
func knownIf(known bool, v float64) float64 {
	if !known {
		return math.NaN()
	}
	return v
}
