package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/unit"
)

// Every part of the page can be written: a template finds what it names only then.
func TestThePageHasEveryPart(t *testing.T) {
	r := recorded()
	r.End.Probes = []record.Probe{{Rate: 5, Why: "3 lost"}}
	res := New(r)
	res.Stages = []Stage{{To: 1, Rate: 5, Herd: true}, {From: 1, To: 2, Rate: 5, Slow: .01}}
	res.Agents = []Agent{{Name: "machine-b", Cores: 2}}
	res.Script = []Action{{Name: "log in"}}
	var page bytes.Buffer
	if err := HTML(&page, res); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"all cut at its beginning", "1 % of the clients not reading", "machine-b", "log in", "3 lost", "Steps of users", "Stages", "Machines", "Search for", "How it was counted"} {
		if !strings.Contains(page.String(), part) {
			t.Errorf("there is no %q", part)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// recorded is a run with a little of everything, made by hand.
func recorded() *record.Record {
	ms := func(pairs ...int64) (h record.Histogram) {
		for i := 0; i < len(pairs); i += 2 {
			h = append(h, record.Count{Micros: pairs[i] * 1000, N: pairs[i+1]})
		}
		return h
	}
	r := &record.Record{
		Header: record.Header{
			Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Target: "weir", URL: "http://127.0.0.1:8080", Command: "weir bench fanout",
			Machine: "linux/amd64, 2 processors, go1.26", Cores: 2, Interval: 500e6, Warm: 1e9, Until: 3e9, Skimmed: true,
			Unit:     &unit.Price{Micros: 4, Low: 3.5, High: 5, Runs: 5, Bytes: 150, Sockets: 1000, Apart: true},
			Scenario: scenario.Scenario{Name: "fanout", About: "few channels", Measure: scenario.Delivery, Channels: 2, Subscribers: 6, Rate: 100, Payload: 128, Publishers: 4, Batch: 1},
			Steps:    []record.Step{{To: 1e9, Rate: 100, Warmup: true}, {From: 1e9, To: 3e9, Rate: 100}},
		},
		Channels: []record.Channel{{Sent: 151, Refused: 1}, {Sent: 151, Unanswered: 1}},
		End: record.End{
			Latency: []record.Histogram{ms(900, 5), ms(5, 1800, 20, 180, 50, 18, 100, 2)}, Ack: ms(1, 200), SendLag: ms(1, 100), ReadLag: ms(1, 100), Hiccup: ms(2, 100),
			IdleRSS: [2]int64{10 << 20, 13 << 20}, PeakRSS: 14 << 20, Complete: true, Messages: []string{"a publish returned status 429: slow down"},
		},
		Conns: []record.Conn{
			{Role: record.Checked, Channels: []int{0}, Received: 150, Bytes: 30_000, Frames: 50, Order: 7},
			{Role: record.Counted, Channels: []int{0}, Bytes: 30_000, Frames: 50, Order: 7},
			{Role: record.Counted, Channels: []int{0}, Bytes: 30_010, Frames: 51, Order: 8},
			{Role: record.Counted, Channels: []int{0}, Bytes: 29_000, Frames: 50, Order: 9}, // 5 messages less
			{Role: record.Checked, Channels: []int{1}, Received: 146, Missing: 4, Corrupted: 1, Duplicated: 2, Reordered: 3, Late: 6, Bytes: 29_800, Frames: 50, Order: 3},
			{Role: record.Stalled, Channels: []int{1}},
		},
	}
	for i := range 6 {
		r.Buckets = append(r.Buckets, record.Bucket{
			At: int64(i) * 5e8, Span: 5e8, Bytes: 30_000, Checked: 10_000, Messages: 50, Sent: 50, Acked: 49, Open: 6, Client: 1e8, Server: 2e8, RSS: 12 << 20, Latency: ms(5, 40, 20, 10),
		})
	}
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", name, got)
	}
}

func TestReportsArePureFunctionsOfTheRecord(t *testing.T) {
	var text, js, page [2]bytes.Buffer
	for i := range 2 {
		r := recorded()
		if i == 1 { // through its file
			var b bytes.Buffer
			if err := r.Write(&b); err != nil {
				t.Fatal(err)
			}
			var err error
			if r, err = record.Read(&b); err != nil {
				t.Fatal(err)
			}
		}
		res := New(r)
		for _, err := range []error{res.Text(&text[i]), res.JSON(&js[i]), HTML(&page[i], res)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	golden(t, "run.txt", text[0].Bytes())
	golden(t, "run.json", js[0].Bytes())
	golden(t, "run.html", page[0].Bytes())
	for _, b := range [][2]bytes.Buffer{text, js, page} {
		if !bytes.Equal(b[0].Bytes(), b[1].Bytes()) {
			t.Error("a record that was read again is reported differently")
		}
	}
}

func TestPromisedNames(t *testing.T) {
	var b bytes.Buffer
	if err := New(recorded()).JSON(&b); err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("deliveriesPerSecond publishesPerSecond expected received lost duplicated reordered latencyMs serverCpu clientCpu valid") {
		if _, ok := m[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	for _, name := range strings.Fields("p50 p90 p99 p999 max") {
		if _, ok := m["latencyMs"].(map[string]any)[name].(float64); !ok {
			t.Errorf("no latencyMs.%s", name)
		}
	}
}

func TestNumbers(t *testing.T) {
	r := New(recorded())
	// 150 of channel 0 at four connections, 145 of them at the one that lacks 1000 bytes; channel 1: 150 at one
	if r.Expected != 4*150+150 || r.Received != 3*150+145+146 || r.Lost != 5+3 || r.Corrupted != 1 || r.Duplicated != 2 || r.Reordered != 3 || r.Late != 6 {
		t.Errorf("expected %d, received %d, lost %d, corrupted %d, late %d", r.Expected, r.Received, r.Lost, r.Corrupted, r.Late)
	}
	if c := r.Connections; c.Checked != 2 || c.Counted != 3 || c.Alike != 1 || c.Similar != 1 || c.BytesMismatch != 1 || c.Stalled != 1 {
		t.Errorf("%+v", c)
	}
	if r.DeliveriesPerSecond != 300 || r.PublishesPerSecond != 98 || *r.ServerCPU != .4 || r.ClientCPU != .2 || r.Refused != 1 || r.Unanswered != 1 {
		t.Errorf("%v deliveries/s, %v publishes/s, %v, %v", r.DeliveriesPerSecond, r.PublishesPerSecond, *r.ServerCPU, r.ClientCPU)
	}
	if l := r.LatencyMs; l.Count != 2000 || l.P50 < 5 || l.P50 > 5.01 || l.P99 < 20 || l.P99 > 50.1 || l.Max < 100 || l.Max > 100.1 {
		t.Errorf("latency %v", l)
	}
	if !r.Valid {
		t.Errorf("%q", r.InvalidBecause)
	}
}

func TestRunsThatDoNotCount(t *testing.T) {
	late := record.Histogram{{Micros: 40_000, N: 10}}
	tests := []struct {
		name string
		make func(*record.Record)
		want string
	}{
		{"processor", func(r *record.Record) {
			for i := range r.Buckets {
				r.Buckets[i].Client = 950e6
			}
		}, "used 1.90 of its 2 cores"},
		{"sending", func(r *record.Record) { r.End.SendLag = late }, "sent messages late by 40.0 ms"},
		{"reading", func(r *record.Record) { r.End.ReadLag = late }, "was busy elsewhere before it read, for 40.0 ms"},
		{"waking", func(r *record.Record) { r.End.Hiccup = late }, "was woken up late by 40.0 ms"},
		{"interrupted", func(r *record.Record) { r.End.Complete = false }, "interrupted"},
		{"nothing", func(r *record.Record) { r.End.Latency = nil }, "nothing was measured"},
		{"nobody listened", func(r *record.Record) { r.Header.Scenario.Subscribers, r.Conns, r.End.Latency = 0, nil, nil }, "nobody listened"},
		{"nothing published", func(r *record.Record) { r.Header.Scenario.Rate = 0 }, "nothing was published"},
		{"all refused", func(r *record.Record) { r.Channels[0].Refused, r.Channels[1].Refused = 151, 151 }, "302 refused"},
		{"many refused", func(r *record.Record) { r.Channels[0].Refused = 4 }, "5 of 302 messages that were due were not published: 4 refused, 1 not answered, 0 not sent"},
		{"not sent", func(r *record.Record) { r.End.Unsent = 100 }, "100 not sent"},
		{"all lost", func(r *record.Record) {
			r.End.Latency = nil
			r.Conns = []record.Conn{{Role: record.Checked, Channels: []int{0}, Missing: 150}}
		}, "all was lost"},
		{"gone at the end", func(r *record.Record) { r.End.Gone = 1 }, "1 of 5 subscribers were not connected any more at the end"},
		{"target down", func(r *record.Record) { r.End.Down = true }, "gone"},
		{"no rate holds", func(r *record.Record) { r.End.Probes = []record.Probe{{Rate: 5, Why: "3 lost"}} }, "found no rate"},
		{"a herd that stays away", func(r *record.Record) { r.Header.Steps[1].Herd = true; r.End.Resumed = 5 }, "5 of 6 connections that were cut came back"},
		{"nobody slow", func(r *record.Record) {
			r.Header.Steps[1].Slow, r.Header.Scenario.Subscribers = .01, 5
			r.Conns = r.Conns[:5]
		}, "no connection stopped reading"},
		{"nobody joined", func(r *record.Record) { r.Header.Scenario.Presence, r.Header.Scenario.Churn = true, 5 }, "nobody was seen to join"},
		{"visitors turned away", func(r *record.Record) { r.End.Attempts, r.End.Failed = 50, 1 }, "1 of 50 visitors did not get in"},
		{"connections turned away", func(r *record.Record) {
			r.Header.Scenario.Measure, r.End.Attempts, r.End.Joined, r.End.Unsent = scenario.Connect, 50, 49, 50
		}, "51 of 100 connections did not get in"},
		{"an empty stage", func(r *record.Record) {
			r.Header.Steps = append(r.Header.Steps, record.Step{From: 3e9, To: 4e9, Rate: 100})
			r.End.Latency = append(r.End.Latency, nil)
		}, "nothing was measured in stage 2"},
		{"nothing idle", func(r *record.Record) { r.Header.Scenario.Measure, r.Header.Scenario.Subscribers = scenario.Idle, 0 }, "no connections that could stay idle"},
	}
	for _, tt := range tests {
		r := recorded()
		tt.make(r)
		if res := New(r); res.Valid || !strings.Contains(strings.Join(res.InvalidBecause, "; "), tt.want) {
			t.Errorf("%s: valid %v, %q", tt.name, res.Valid, res.InvalidBecause)
		}
	}
}

// What counts although little happened: connections that stay idle, and visits without messages.
func TestQuietRunsCount(t *testing.T) {
	idle := recorded()
	idle.Header.Scenario.Measure, idle.Header.Scenario.Rate, idle.Channels, idle.End.Latency = scenario.Idle, 0, nil, nil
	visits := recorded()
	visits.Header.Scenario.Rate, visits.Header.Scenario.Churn, visits.Channels, visits.End.Latency = 0, 10, nil, nil
	visits.End.Attempts, visits.End.Joined, visits.End.Connect = 50, 50, record.Histogram{{Micros: 900, N: 50}}
	for name, r := range map[string]*record.Record{"idle": idle, "visits": visits} {
		if res := New(r); !res.Valid {
			t.Errorf("%s: %q", name, res.InvalidBecause)
		}
	}
}

func TestConnectionsWithoutACheckedOneAreComparedWithEachOther(t *testing.T) {
	r := recorded()
	r.Channels = append(r.Channels, record.Channel{Sent: 100})
	for _, b := range []uint64{20_000, 20_000, 18_000} {
		r.Conns = append(r.Conns, record.Conn{Role: record.Counted, Channels: []int{2}, Bytes: b, Frames: 9})
	}
	res, base := New(r), New(recorded())
	if res.Connections.Unreferenced != 3 || res.Connections.BytesMismatch != base.Connections.BytesMismatch+1 || res.Expected != base.Expected+300 || res.Lost-base.Lost != 10 {
		t.Errorf("%+v, lost %d more of %d", res.Connections, res.Lost-base.Lost, res.Expected-base.Expected)
	}
	// all of them incomplete: their bytes are fewer than the payloads alone
	for i := range 3 {
		r.Conns[len(r.Conns)-1-i].Bytes = 10_000
	}
	if res := New(r); res.Lost-base.Lost < 3*45 || res.Lost-base.Lost > 3*55 {
		t.Errorf("lost %d", res.Lost-base.Lost)
	}
}

func TestOtherMeasures(t *testing.T) {
	r := recorded()
	r.Conns = nil
	r.Header.Scenario.Measure = scenario.Publish
	if res := New(r); res.Expected != 301 || res.Received != 300 || res.Lost != 1 {
		t.Errorf("publish: expected %d, received %d, lost %d", res.Expected, res.Received, res.Lost)
	}
	r.Header.Scenario.Measure = scenario.Connect
	r.End.Attempts, r.End.Joined, r.End.Failed = 50, 48, 2
	if res := New(r); res.Expected != 50 || res.Received != 48 || res.Lost != 2 {
		t.Errorf("connect: expected %d, received %d, lost %d", res.Expected, res.Received, res.Lost)
	}
}

func TestThresholds(t *testing.T) {
	r := New(recorded())
	for text, want := range map[string]bool{
		"p90>60ms": false, "p99>60ms": true, // 8 of 750 never arrived: 1.07 %
		"p99 > 10ms": true, "p50<=5ms": false, "p50<6ms": true, "max>=100ms": true, "lost>0": true, "lost>=8": true, "lost>8": false,
		"lost=8": true, "lost==7": false, "deliveriesPerSecond<1k": true, "deliveriesPerSecond<0.2k": false, "p99.9>1s": true, "max>1s": true, "serverCpu>0.3": true,
		"memoryPerConnection>1MiB": false, "memoryPerConnection>10KiB": true, "valid=false": false, "unseen>0": true,
	} {
		th, err := ParseThreshold(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if failed, words := th.Failed(r); failed != want || !strings.Contains(words, " is ") {
			t.Errorf("%s: %v, %s", text, failed, words)
		}
	}
	for _, text := range []string{"", "p99", "p98>1ms", "p99>60", "lost>some", "lost>", "valid=maybe", ">3", "lost>nan", "lost>inf", "memoryPerConnection>NaN"} {
		if _, err := ParseThreshold(text); !errors.Is(err, errThreshold) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"p50>1s", "p50<1s", "max>1h"} { // no latency is no good latency
		th, _ := ParseThreshold(text)
		if failed, words := th.Failed(&Result{}); !failed || !strings.Contains(words, "not known") {
			t.Errorf("%s: %s", text, words)
		}
	}
	r.ServerCPU = nil
	th, _ := ParseThreshold("serverCpu>1")
	if failed, words := th.Failed(r); !failed || !strings.Contains(words, "not known") {
		t.Error(words)
	}
}

func TestCompare(t *testing.T) {
	a, slow := New(recorded()), recorded()
	slow.Header.Target = "nchan"
	slow.End.Latency[1] = record.Histogram{{Micros: 50_000, N: 100}}
	slow.End.PeakRSS, slow.End.IdleRSS = 0, [2]int64{}
	b := New(slow)
	var text, page bytes.Buffer
	if err := errors.Join(Compare(&text, a, b), HTML(&page, a, b)); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", text.Bytes())
	if n := strings.Count(page.String(), "<svg"); n != 5 {
		t.Errorf("%d plots", n)
	}
	if Compare(&text) == nil || HTML(&page) == nil {
		t.Error("nothing was compared")
	}
}

// Where nothing was measured, and where the target's usage was not known, lines have gaps. A rate of nothing is 0.
func TestEmptyIntervalsAreGaps(t *testing.T) {
	r := recorded()
	r.Buckets[2].Latency, r.Buckets[2].Messages = nil, 0
	r.Buckets[4].RSS, r.Buckets[4].Server = 0, 0 // the last one stands alone
	res := New(r)
	lines := map[string]string{}
	for _, p := range append(plots([]*Result{res}), plots([]*Result{res, res})...) {
		html := string(p.draw())
		if strings.Contains(html, "NaN") {
			t.Errorf("%s: %s", p.title, html)
		}
		for _, c := range p.curves {
			line, dots := c.trace(func(i int) (x, y float64) { return c.x[i], c.y[i] })
			lines[p.title+", "+c.name] = regexp.MustCompile(`[0-9. ]+`).ReplaceAllString(line+" "+dots, "")
		}
	}
	both := res.title()
	for name, want := range map[string]string{
		"Latency over time, max": "MLMLL", "Latency over time, p50": "MLMLL", "Latency over time, " + both: "MLMLL",
		"Throughput, deliveries": "MLLLLL", "CPU, target": "MLLLMh", "CPU, load generator": "MLLLLL", "Memory of the target, " + both: "MLLLMh",
	} {
		if lines[name] != want {
			t.Errorf("%s is %q, want %q", name, lines[name], want)
		}
	}
}

// The page stands alone: it fetches and runs nothing, and what a target answered cannot add to it.
func TestThePageIsSelfContained(t *testing.T) {
	r := recorded()
	r.Header.URL, r.End.Messages = `http://"><script>alert(1)</script>`, []string{"</svg><script>x</script>"}
	r.Header.Scenario.Name = "<b>bold</b>"
	var page bytes.Buffer
	if err := HTML(&page, New(r), New(recorded())); err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?i)<script|<b>bold|<link|<img|src=|@import|url\(`).FindString(page.String()); m != "" {
		t.Errorf("the page contains %s", m)
	}
}

func TestReadingResults(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var js, rec bytes.Buffer
	if err := errors.Join(New(recorded()).JSON(&js), recorded().Write(&rec)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file("a.json", js.Bytes()), file("a.weir", rec.Bytes())} {
		if res, err := ReadFile(name); err != nil || res.Expected != 750 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{file("b", nil), file("c", []byte("{}")), file("d", []byte("hello")), file("e", rec.Bytes()[:50])} {
		if _, err := ReadFile(name); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7: "7", 1.234: "1.23", 950: "950", 9999: "9999", 12_345: "12.3 k", 999_600: "1.00 M", 15e6: "15.0 M", 2e9: "2.00 G"} {
		if got := Count(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0 B", 1023: "1023 B", 4608: "4.50 KiB", 1 << 30: "1.00 GiB"} {
		if got := Bytes(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}
