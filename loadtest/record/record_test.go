package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/loadtest/scenario"
)

// A distribution survives being kept and taken up again, bar by bar.
func TestHistogramsSurviveBeingKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.IntRange(2, 3).Draw(t, "digits")
		m := NewMeter(digits)
		values := rapid.SliceOfN(rapid.Int64Range(-5, 700_000_000_000), 1, 50).Draw(t, "ns")
		for _, v := range values {
			m.Record(v)
		}
		before := [3]float64{m.Millis(.5), m.Millis(.99), m.Max()}
		kept := m.Keep()
		b, err := kept.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var read Histogram
		if err := read.UnmarshalJSON(b); err != nil || !reflect.DeepEqual(read, kept) {
			t.Fatalf("%s: %v, %v", b, read, err)
		}
		again := Merge(digits, read)
		if after := [3]float64{again.Millis(.5), again.Millis(.99), again.Max()}; after != before || again.Total() != int64(len(values)) || m.Total() != 0 {
			t.Fatalf("%v became %v", before, after)
		}
	})
}

// Against distributions whose percentiles are known.
func TestPercentilesOfKnownDistributions(t *testing.T) {
	const n = 100_000
	tests := []struct {
		name string
		at   func(share float64) float64 // ms; the quantile function
	}{
		{"uniform", func(p float64) float64 { return 100 * p }},
		{"exponential", func(p float64) float64 { return -5 * math.Log(1-p) }},
		{"two speeds", func(p float64) float64 {
			if p < .98 {
				return 2
			}
			return 800
		}},
	}
	for _, tt := range tests {
		m := NewMeter(3)
		for i := range n {
			m.Record(int64(tt.at((float64(i)+.5)/n) * 1e6))
		}
		for _, p := range []float64{.5, .9, .99, .999} {
			if got, want := m.Millis(p), tt.at(p); math.Abs(got-want) > want*.002+.002 {
				t.Errorf("%s: p%v is %v ms, want %v", tt.name, p*100, got, want)
			}
		}
		if m.Max() < tt.at(1-.5/n)*.999 {
			t.Errorf("%s: max %v", tt.name, m.Max())
		}
	}
	empty := NewMeter(3)
	if empty.Millis(.5) != 0 || empty.Max() != 0 || empty.Keep() != nil {
		t.Error("something in an empty meter")
	}
}

func sample() *Record {
	return &Record{
		Header: Header{
			Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Target: "weir", URL: "http://127.0.0.1:8080", Machine: "m", Cores: 2,
			Scenario: scenario.Scenario{Name: "fanout", Measure: scenario.Delivery, Payload: 128, Stages: []scenario.Stage{{Duration: time.Second, Rate: 5}}},
			Interval: 1e8, Warm: 1e9, Until: 2e9, Steps: []Step{{To: 1e9, Warmup: true}, {From: 1e9, To: 2e9, Rate: 5}},
		},
		Buckets:  []Bucket{{At: 0, Bytes: 5}, {At: 1e8, Messages: 7, Latency: Histogram{{100, 2}, {300, 1}}}},
		Conns:    []Conn{{Role: Checked, Channels: []int{0}, Received: 3}, {Role: Counted, Channels: []int{0}, Bytes: 9, Order: math.MaxUint64}},
		Channels: []Channel{{Sent: 3, Refused: 1}},
		End:      End{Latency: []Histogram{nil, {{5, 1}}}, Complete: true, IdleRSS: [2]int64{1, 2}, Probes: []Probe{{Rate: 1, Held: true}}},
	}
}

func TestARecordSurvivesItsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "run.weir")
	want := sample()
	if err := want.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Read(f)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\n%+v", err, got, want)
	}
}

func TestOnlyWholeRecordsOfTheRightVersionAreRead(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Write(&b); err != nil {
		t.Fatal(err)
	}
	zip := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return b.Bytes()
	}
	for name, content := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "cut": b.Bytes()[:b.Len()-20], "no header": zip(`{"end":{}}`), "no end": zip(`{"header":{"format":"weir-run","version":1}}`),
		"other version": zip(`{"header":{"format":"weir-run","version":2}}{"end":{}}`), "other file": zip(`{"header":{"format":"x","version":1}}{"end":{}}`),
		"two headers": zip(strings.Repeat(`{"header":{"format":"weir-run","version":1}}`, 2)), "bad histogram": zip(`{"header":{"format":"weir-run","version":1}}{"end":{"ack":[1,-1]}}`),
		"odd histogram": zip(`{"header":{"format":"weir-run","version":1}}{"end":{"ack":[1]}}`),
	} {
		if _, err := Read(bytes.NewReader(content)); !errors.Is(err, errFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
