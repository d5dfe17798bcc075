package loadtest

import (
	"fmt"
	"io"
	"strings"
	"time"

	"weir/loadtest/report"
)

// Screen shows progress: in place in a terminal, as a plain line every two seconds elsewhere. Its Show
// is a Config.Progress; it is used by one goroutine at a time.
type Screen struct {
	w     io.Writer
	live  bool
	lines int       // drawn last, to be drawn over
	past  []float64 // p99 of the last intervals, for the sparkline
	next  time.Duration
	step  string
}

// NewScreen returns a screen that writes to w, which is a terminal when live is set.
func NewScreen(w io.Writer, live bool) *Screen { return &Screen{w: w, live: live} }

const (
	sparkWidth  = 35 // so that every line fits 50 columns
	barWidth    = 12
	screenWidth = 50
	plainPeriod = 2 * time.Second
)

// Show draws the progress.
func (s *Screen) Show(p Progress) {
	if !s.live {
		if p.At < s.next && p.Step == s.step && p.At != 0 {
			return
		}
		s.next, s.step = p.At+plainPeriod, p.Step
		s.print(fmt.Sprintf("%6.1fs  %-12s  %s publishes/s  %s deliveries/s  p50 %.1f ms  p99 %.1f ms  %d of %d connections%s\n",
			p.At.Seconds(), p.Step, report.Count(p.Rate), report.Count(p.Deliveries), p.P50, p.P99, p.Open, p.Want, p.trouble()))
		return
	}
	s.past = append(s.past, p.P99)
	if len(s.past) > sparkWidth {
		s.past = s.past[1:]
	}
	done := 0
	if p.Of > 0 {
		done = int(float64(barWidth) * float64(p.At) / float64(p.Of))
	}
	done = min(max(done, 0), barWidth)
	server := "not known"
	if p.ServerCPU >= 0 {
		server = fmt.Sprintf("%.2f cores, %s", p.ServerCPU, report.Bytes(float64(p.ServerBytes)))
	}
	lines := []string{
		fmt.Sprintf("  %s%s  %s of %s  %s", strings.Repeat("█", done), strings.Repeat("░", barWidth-done), p.At.Round(time.Second/10), p.Of, p.Step),
		fmt.Sprintf("  deliveries   %10s/s   publishes %s/s", report.Count(p.Deliveries), report.Count(p.Rate)),
		fmt.Sprintf("  latency      p50 %7.1f ms   p99 %7.1f ms", p.P50, p.P99),
		fmt.Sprintf("  p99          %s", spark(s.past)),
		fmt.Sprintf("  connections  %d of %d%s", p.Open, p.Want, p.trouble()),
		fmt.Sprintf("  target       %s", server),
		fmt.Sprintf("  generator    %.2f cores", p.ClientCPU),
	}
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	for _, l := range lines {
		if r := []rune(l); len(r) > screenWidth { // a line that wraps would be drawn over in the wrong place
			l = string(r[:screenWidth])
		}
		b.WriteString(l + "\x1b[K\n")
	}
	s.lines = len(lines)
	s.print(b.String())
}

// print writes text. A terminal that went away is no reason to stop measuring.
func (s *Screen) print(text string) { _, _ = io.WriteString(s.w, text) }

// Clear takes the live lines away, so that the summary stands alone.
func (s *Screen) Clear() {
	if s.live && s.lines > 0 {
		s.print(fmt.Sprintf("\x1b[%dA\x1b[J", s.lines))
		s.lines = 0
	}
}

func (p Progress) trouble() string {
	if p.Trouble == 0 {
		return ""
	}
	return fmt.Sprintf("   %d problems", p.Trouble)
}

// spark draws values as a line of eighths, the highest as a full block.
func spark(values []float64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	levels := []rune(blocks)
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	if most == 0 {
		return ""
	}
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = levels[min(int(v/most*float64(len(levels))), len(levels)-1)]
	}
	return string(line)
}
