package report

import (
	"encoding/csv"
	"encoding/xml"
	"io"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/remotewrite"
)

// csvHead names the columns of CSV.
var csvHead = []string{
	"seconds", "deliveries_per_second", "publishes_per_second", "p50_ms", "p99_ms", "max_ms", "server_cores", "client_cores", "server_bytes", "connections",
}

// CSV writes the run over time, one interval a line. A latency of an interval in which nothing was measured, and usage that
// is not known, is empty.
func (res *Result) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvHead); err != nil {
		return err
	}
	number := func(v float64, known bool) string {
		if !known {
			return ""
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	for _, p := range res.Series {
		measured, usage := p.Max > 0, res.ServerCPU != nil
		err := out.Write([]string{
			strconv.FormatFloat(p.At, 'f', 3, 64), number(p.Deliveries, true), number(p.Publishes, true), number(p.P50, measured), number(p.P99, measured),
			number(p.Max, measured), number(p.ServerCPU, usage), number(p.ClientCPU, true), number(float64(p.Memory), p.Memory > 0), strconv.FormatInt(p.Open, 10),
		})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// Metrics is the run over time, and what came of it at its end, for Prometheus.
func (res *Result) Metrics() (list []remotewrite.Series) {
	add := func(name, quantile string, of func(Point) (v float64, known bool)) {
		s := remotewrite.Series{Name: "weir_bench_" + name, Labels: map[string]string{"scenario": res.Scenario, "target": res.Target, "run": res.Started.UTC().Format(time.RFC3339)}}
		if quantile != "" {
			s.Labels["quantile"] = quantile
		}
		for _, p := range res.Series {
			if v, known := of(p); known {
				s.Samples = append(s.Samples, remotewrite.Sample{At: res.Started.Add(time.Duration(p.At * 1e9)), Value: v})
			}
		}
		list = append(list, s)
	}
	add("deliveries_per_second", "", func(p Point) (float64, bool) { return p.Deliveries, true })
	add("publishes_per_second", "", func(p Point) (float64, bool) { return p.Publishes, true })
	add("latency_seconds", "0.5", func(p Point) (float64, bool) { return p.P50 / 1000, p.Max > 0 })
	add("latency_seconds", "0.99", func(p Point) (float64, bool) { return p.P99 / 1000, p.Max > 0 })
	add("latency_seconds", "1", func(p Point) (float64, bool) { return p.Max / 1000, p.Max > 0 })
	add("target_cores", "", func(p Point) (float64, bool) { return p.ServerCPU, res.ServerCPU != nil })
	add("target_memory_bytes", "", func(p Point) (float64, bool) { return float64(p.Memory), p.Memory > 0 })
	add("generator_cores", "", func(p Point) (float64, bool) { return p.ClientCPU, true })
	add("connections", "", func(p Point) (float64, bool) { return float64(p.Open), true })
	if len(res.Series) == 0 {
		return list
	}
	last := res.Series[len(res.Series)-1]
	valid := 0.
	if res.Valid {
		valid = 1
	}
	for _, n := range []struct {
		name string
		v    float64
	}{
		{"expected", float64(res.Expected)}, {"received", float64(res.Received)}, {"lost", float64(res.Lost)}, {"duplicated", float64(res.Duplicated)},
		{"reordered", float64(res.Reordered)}, {"corrupted", float64(res.Corrupted)}, {"late", float64(res.Late)}, {"refused", float64(res.Refused)}, {"valid", valid},
	} {
		add(n.name, "", func(p Point) (float64, bool) { return n.v, p == last })
	}
	return list
}

// Verdict is one thing that a run was held against.
type Verdict struct {
	name    string
	invalid bool // the run says nothing about it
	failed  string
	words   string
}

// Verdicts are whether the run is valid, and then each threshold.
func (res *Result) Verdicts(limits []Threshold) []Verdict {
	valid := Verdict{name: "the run is valid", invalid: !res.Valid, failed: strings.Join(res.InvalidBecause, "; ")}
	list := []Verdict{valid}
	for _, t := range limits {
		v := Verdict{name: t.text}
		bad, words := t.Failed(res)
		if v.words = words; bad {
			v.failed = words
		}
		list = append(list, v)
	}
	return list
}

type junitCase struct {
	Class   string    `xml:"classname,attr"`
	Name    string    `xml:"name,attr"`
	Seconds string    `xml:"time,attr"`
	Failure *junitWhy `xml:"failure"`
	Error   *junitWhy `xml:"error"`
	Output  string    `xml:"system-out,omitempty"`
}

type junitWhy struct {
	Message string `xml:"message,attr"`
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Seconds  string      `xml:"time,attr"`
	Stamp    string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

// JUnit writes verdicts as the XML that CI systems show: a run that is not valid is an error, a threshold that holds is a failure.
func (res *Result) JUnit(w io.Writer, verdicts []Verdict) error {
	s := junitSuite{
		Name: "weir bench " + res.Scenario + " " + res.Target, Tests: len(verdicts),
		Seconds: strconv.FormatFloat(res.Seconds, 'f', 3, 64), Stamp: res.Started.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, v := range verdicts {
		c := junitCase{Class: "weir.bench." + res.Scenario, Name: v.name, Seconds: s.Seconds, Output: v.words}
		switch {
		case v.failed == "":
		case v.invalid:
			c.Error = &junitWhy{"NOT VALID: " + v.failed}
			s.Errors++
		default:
			c.Failure = &junitWhy{v.failed}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
