package loadtest

import (
	"strings"
	"testing"
	"time"
)

func TestScreenInATerminal(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, true)
	for i := range 3 {
		s.Show(Progress{
			Step: "measuring", At: time.Duration(i) * time.Second, Of: 4 * time.Second, Open: 9, Want: 10, Rate: 1000, Deliveries: 2.5e6,
			P50: 1.5, P99: float64(10 * (i + 1)), ServerCPU: .5, ClientCPU: .25, ServerBytes: 3 << 20, Trouble: 2,
		})
	}
	got := b.String()
	for _, want := range []string{
		"██████░░░░░░  2s of 4s  measuring", "2.50 M/s   publishes 1000/s", "p99    30.0 ms\x1b[K\n  p99          ▃▆█",
		"9 of 10   2 problems", "0.50 cores, 3.00 MiB\x1b[K\n  generator    0.25 cores", "\x1b[7A",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if n := strings.Count(got, "\x1b[7A"); n != 2 {
		t.Errorf("drawn over %d times", n)
	}
	s.Clear()
	if !strings.HasSuffix(b.String(), "\x1b[7A\x1b[J") {
		t.Error("not cleared")
	}
}

// The screen fits a terminal of 50 columns.
func TestScreenFitsFiftyColumns(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, true)
	for i := range 2 * sparkWidth {
		s.Show(Progress{
			Step: "stage 10 of 12", At: 45296700 * time.Millisecond, Of: 24 * time.Hour, Open: 100_000, Want: 100_000, Rate: 123_456, Deliveries: 123.4e6,
			P50: 12345.6, P99: float64(10000 * (i + 1)), ServerCPU: 64.25, ClientCPU: 64.25, ServerBytes: 123 << 30, Trouble: 12345,
		})
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		_, line, _ = strings.Cut("A"+strings.ReplaceAll(line, "\x1b[7A", ""), "A")
		if line = strings.TrimSuffix(line, "\x1b[K"); len([]rune(line)) > 50 {
			t.Errorf("%d columns: %q", len([]rune(line)), line)
		}
	}
}

func TestScreenElsewhereIsPlainLines(t *testing.T) {
	var b strings.Builder
	s := NewScreen(&b, false)
	s.Show(Progress{Step: "connecting", Open: 3, Want: 10, ServerCPU: -1})
	for i := range 50 {
		s.Show(Progress{Step: "measuring", At: time.Duration(i+1) * 100 * time.Millisecond, Of: 5 * time.Second, ServerCPU: -1})
	}
	s.Clear()
	got := b.String()
	if n := strings.Count(got, "\n"); n != 4 || strings.Contains(got, "\x1b") || !strings.Contains(got, "3 of 10 connections") {
		t.Errorf("%d lines: %q", n, got)
	}
}

func TestSparklineScalesToTheHighest(t *testing.T) {
	if got := spark([]float64{0, 1, 2, 4, 8}); got != "▁▂▃▅█" {
		t.Error(got)
	}
	if got := spark([]float64{0, 0}); got != "" {
		t.Error(got)
	}
}

func TestMetricsPage(t *testing.T) {
	const page = "# HELP x\nprocess_cpu_seconds_total 1.5\nother 3\nprocess_resident_memory_bytes 2.5e+06\n"
	cpu, rss, err := parseMetrics(strings.NewReader(page))
	if err != nil || cpu != 1_500_000_000 || rss != 2_500_000 {
		t.Error(cpu, rss, err)
	}
	for _, bad := range []string{"", "process_cpu_seconds_total 1\n", "process_cpu_seconds_total x\nprocess_resident_memory_bytes 1\n"} {
		if _, _, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}
