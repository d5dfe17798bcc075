package report

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// compared is a number that runs are compared by.
type compared struct {
	name  string
	write func(float64) string
	of    func(*Result) float64 // NaN when it is not known
}

func milliseconds(v float64) string { return ms(v) + " ms" }

var comparisons = []compared{
	{"deliveries/s", Count, func(r *Result) float64 { return r.DeliveriesPerSecond }},
	{"publishes/s", Count, func(r *Result) float64 { return r.PublishesPerSecond }},
	{"connections/s", Count, func(r *Result) float64 { return r.ConnectsPerSecond }},
	{"latency p50", milliseconds, func(r *Result) float64 { return r.LatencyMs.P50 }},
	{"latency p90", milliseconds, func(r *Result) float64 { return r.LatencyMs.P90 }},
	{"latency p99", milliseconds, func(r *Result) float64 { return r.LatencyMs.P99 }},
	{"latency p99.9", milliseconds, func(r *Result) float64 { return r.LatencyMs.P999 }},
	{"latency max", milliseconds, func(r *Result) float64 { return r.LatencyMs.Max }},
	{"acknowledged p99", milliseconds, func(r *Result) float64 {
		if r.AckMs == nil {
			return math.NaN()
		}
		return r.AckMs.P99
	}},
	{"expected", Count, func(r *Result) float64 { return float64(r.Expected) }},
	{"received", Count, func(r *Result) float64 { return float64(r.Received) }},
	{"lost", Count, func(r *Result) float64 { return float64(r.Lost) }},
	{"duplicated", Count, func(r *Result) float64 { return float64(r.Duplicated) }},
	{"reordered", Count, func(r *Result) float64 { return float64(r.Reordered) }},
	{"corrupted", Count, func(r *Result) float64 { return float64(r.Corrupted) }},
	{"late", Count, func(r *Result) float64 { return float64(r.Late) }},
	{"target, cores", significant, (*Result).serverCPU},
	{"target, CPU a million deliveries", func(v float64) string { return significant(v) + " s" }, func(r *Result) float64 {
		return r.serverCPU() / knownIf(r.DeliveriesPerSecond > 0, r.DeliveriesPerSecond) * 1e6
	}},
	{"a small write", func(v float64) string { return significant(v) + " µs" }, func(r *Result) float64 {
		if r.Unit == nil {
			return math.NaN()
		}
		return r.Unit.Micros
	}},
	{"target, in small writes/s", Count, func(r *Result) float64 {
		if r.Unit == nil || r.Unit.ServerWrites == nil {
			return math.NaN()
		}
		return *r.Unit.ServerWrites
	}},
	{"target, memory at most", Bytes, func(r *Result) float64 {
		if r.ServerMemory == nil {
			return math.NaN()
		}
		return float64(r.ServerMemory.Peak)
	}},
	{"target, memory a connection", Bytes, func(r *Result) float64 {
		if r.ServerMemory == nil {
			return math.NaN()
		}
		return r.ServerMemory.PerConnection
	}},
	{"load generator, cores", significant, func(r *Result) float64 { return r.ClientCPU }},
}

// compareRows are the numbers of the runs, with ratios to the first. What is not known in any run, or 0
// in all, is left out.
func compareRows(runs []*Result) (rows []row) {
	for _, c := range comparisons {
		r := row{Name: c.name}
		known := false
		base := c.of(runs[0])
		for i, run := range runs {
			v := c.of(run)
			text, ratio := "-", ""
			if !math.IsNaN(v) {
				text = c.write(v)
				known = known || v != 0 || c.name == "lost"
				if i > 0 && base > 0 {
					ratio = fmt.Sprintf("%.2fx", v/base)
				}
			}
			r.Values, r.Ratios = append(r.Values, text), append(r.Ratios, ratio)
		}
		if known {
			rows = append(rows, r)
		}
	}
	return rows
}

// Compare writes runs side by side for a terminal, with ratios to the first.
func Compare(w io.Writer, runs ...*Result) error {
	if len(runs) == 0 {
		return fmt.Errorf("comparison: expected one run or more")
	}
	var b strings.Builder
	for i, r := range runs {
		valid := ""
		if !r.Valid {
			valid = "  NOT VALID: " + strings.Join(r.InvalidBecause, "; ")
		}
		fmt.Fprintf(&b, "%c  %s%s\n", 'A'+i%26, r.title(), valid)
	}
	fmt.Fprintf(&b, "\n%-34s", "")
	for i := range runs {
		fmt.Fprintf(&b, "%18c", 'A'+i%26)
		if i > 0 {
			fmt.Fprintf(&b, "%9s", "ratio")
		}
	}
	b.WriteByte('\n')
	for _, r := range compareRows(runs) {
		fmt.Fprintf(&b, "%-34s", r.Name)
		for i, v := range r.Values {
			fmt.Fprintf(&b, "%18s", v)
			if i > 0 {
				fmt.Fprintf(&b, "%9s", r.Ratios[i])
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
