package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"math"
	"strings"
	"testing"
)

func runs(p99 ...float64) (list []*Result) {
	for _, v := range p99 {
		list = append(list, &Result{LatencyMs: Quantiles{Count: 1, P99: v}, Expected: 100, Received: 100, DeliveriesPerSecond: 1000 / (v + 1), Valid: true})
	}
	return list
}

func TestConditionsTellChangeFromNoise(t *testing.T) {
	tests := []struct {
		condition string
		before    []float64
		now       []float64
		failed    bool
		words     string
	}{
		{"p99>+10%", []float64{10, 11, 12}, []float64{20, 21, 22}, true, "p99 went from 11 to 21 (+90.9 %), medians of 3 and 3, p = 0.050"},
		{"p99>+10%", []float64{10, 11, 12}, []float64{12.1, 12.2, 12.3}, true, "p = 0.050"},
		{"p99>+10%", []float64{10, 11, 30}, []float64{20, 21, 22}, false, "within noise"},
		{"p99>+10%", []float64{10, 11, 12}, []float64{11, 11.5, 12}, false, "(+4.5 %)"},
		{"p99>+10%", []float64{10, 11, 12, 13, 14}, []float64{13, 14, 15, 16, 17}, true, "p = 0.0"},
		{"p99>+10%", []float64{10}, []float64{12}, true, "too few to tell noise"},
		{"p99>+10%", []float64{10}, []float64{10.5}, false, "too few"},
		{"p99>+10%", []float64{0, 0, 0}, []float64{1, 1, 1}, true, "from 0 to 1"},
		{"p99 > +10%", []float64{10, 10, 10}, []float64{10, 10, 10}, false, "(+0.0 %)"},
		{"p99<-10%", []float64{20, 21, 22}, []float64{10, 11, 12}, true, "(-47.6 %)"},
		{"deliveriesPerSecond<-5%", []float64{10, 11, 12}, []float64{20, 21, 22}, true, "p = 0.050"},
		{"deliveriesPerSecond<-5%", []float64{20, 21, 22}, []float64{10, 11, 12}, false, "p = 1.000"},
		{"p99>15ms", []float64{1}, []float64{10, 20}, true, "p99 is 20ms"},
		{"p99>15ms", []float64{100}, []float64{10, 12}, false, "p99 is 10ms"},
		{"serverCpu>+5%", []float64{1}, []float64{2}, true, "not known in every run"},
	}
	for _, tt := range tests {
		c, err := ParseCondition(tt.condition)
		if err != nil {
			t.Fatal(err)
		}
		f := c.Of(runs(tt.before...), runs(tt.now...))
		if f.Failed != tt.failed || !strings.Contains(f.Words, tt.words) {
			t.Errorf("%s %v %v: %v %s, expected %v %s", tt.condition, tt.before, tt.now, f.Failed, f.Words, tt.failed, tt.words)
		}
	}
	for _, text := range []string{"p99>10%", "p99>+x%", "p98>+10%", "p99+10%", "p99>+NaN%", "p99>%", "p99=+5%"} {
		if _, err := ParseCondition(text); !errors.Is(err, errThreshold) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The chances are those that counting all orders gives.
func TestRankIsExact(t *testing.T) {
	before, now := []float64{1, 2, 3, 4}, []float64{2.5, 3.5, 5}
	all := append(append([]float64{}, before...), now...)
	pairs := func(chosen int) (n int) {
		for i, a := range all {
			for j, b := range all {
				if chosen>>i&1 == 1 && chosen>>j&1 == 0 && a > b {
					n++
				}
			}
		}
		return n
	}
	observed, as, total := pairs(0b1110000), 0, 0
	for chosen := range 1 << 7 {
		bits := 0
		for i := range 7 {
			bits += chosen >> i & 1
		}
		if bits == 3 {
			total++
			if pairs(chosen) >= observed {
				as++
			}
		}
	}
	if got, want := rank(before, now, false), float64(as)/float64(total); math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, expected %v", got, want)
	}
}

func TestVerdictsAreJUnit(t *testing.T) {
	res := runs(20)[0]
	res.Valid, res.InvalidBecause, res.Scenario, res.Target = false, []string{"a < b"}, "fanout", "weir"
	var limits []Threshold
	for _, text := range []string{"p99>10ms", "lost>0"} {
		l, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, l)
	}
	var b bytes.Buffer
	if err := res.JUnit(&b, res.Verdicts(limits)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
			Error *struct {
				Message string `xml:"message,attr"`
			} `xml:"error"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil || got.Tests != 3 || got.Failures != 1 || got.Errors != 1 || len(got.Cases) != 3 ||
		got.Cases[0].Error == nil || got.Cases[0].Error.Message != "NOT VALID: a < b" || got.Cases[1].Failure == nil || got.Cases[2].Failure != nil {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestSeriesAreCSV(t *testing.T) {
	res := &Result{Series: []Point{{At: .1, Deliveries: 5, P50: 1, P99: 2, Max: 3, Open: 7}, {At: .2}}}
	var b bytes.Buffer
	if err := res.CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 3 || strings.Join(rows[1], " ") != "0.100 5 0 1 2 3  0  7" || rows[2][4] != "" || len(rows[0]) != len(rows[1]) {
		t.Error(rows, err)
	}
}
