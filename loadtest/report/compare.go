package report

import (
	"fmt"
	"io"
	"math"
	"strings"
)

func milliseconds(v float64) string { return digits(v) + " ms" }

// comparisons are the numbers that runs are compared by: what each is called, how it is written, and where it is in the
// result; empty: processor time by deliveries.
var comparisons = []struct {
	name  string
	write func(float64) string
	path  string
}{
	{"deliveries/s", Count, "deliveriesPerSecond"},
	{"publishes/s", Count, "publishesPerSecond"},
	{"connections/s", Count, "connectsPerSecond"},
	{"latency p50", milliseconds, "latencyMs.p50"},
	{"latency p90", milliseconds, "latencyMs.p90"},
	{"latency p99", milliseconds, "latencyMs.p99"},
	{"latency p99.9", milliseconds, "latencyMs.p999"},
	{"latency max", milliseconds, "latencyMs.max"},
	{"acknowledged p99", milliseconds, "ackMs.p99"},
	{"expected", Count, "expected"},
	{"received", Count, "received"},
	{"lost", Count, "lost"},
	{"duplicated", Count, "duplicated"},
	{"reordered", Count, "reordered"},
	{"corrupted", Count, "corrupted"},
	{"late", Count, "late"},
	{"target, cores", digits, "serverCpu"},
	{"target, CPU a million deliveries", func(v float64) string { return digits(v) + " s" }, ""},
	{"a small write", func(v float64) string { return digits(v) + " µs" }, "unit.writeMicros"},
	{"target, in small writes/s", Count, "unit.serverWritesPerSecond"},
	{"target, memory at most", Bytes, "serverMemory.peak"},
	{"target, memory a connection", Bytes, "serverMemory.perConnection"},
	{"load generator, cores", digits, "clientCpu"},
}

// compareRows are the numbers of the runs, with ratios to the first. What is not known in any run, or 0
// in all, is left out.
func compareRows(runs []*Result) (rows []row) {
	for _, c := range comparisons {
		r := row{Name: c.name}
		known := false
		of := func(run *Result) float64 {
			if c.path == "" {
				return run.at("serverCpu") / knownIf(run.DeliveriesPerSecond > 0, run.DeliveriesPerSecond) * 1e6
			}
			return run.at(c.path)
		}
		base := of(runs[0])
		for i, run := range runs {
			v := of(run)
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
