package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Text writes the summary for a terminal.
func (res *Result) Text(w io.Writer) error {
	var b strings.Builder
	width := 14
	for _, a := range res.Script {
		width = max(width, min(utf8.RuneCountInString(a.Name)+2, 40))
	}
	for _, a := range res.Agents {
		width = max(width, len(a.Name)+2)
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-*s %s\n", width, name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s on %s %s\n", res.Scenario, res.Target, res.URL)
	s := res.Setup
	line("setup", "%s, %s, %s s", s, res.loop(), strconv.FormatFloat(res.Seconds, 'g', 4, 64))
	switch res.Measure {
	case "connect":
		line("connections", "%s/s", Count(res.ConnectsPerSecond))
	case "publish":
		line("publishes", "%s/s", Count(res.PublishesPerSecond))
	case "echo":
		line("responses", "%s/s of %s requests/s", Count(res.responses()), Count(res.PublishesPerSecond))
	case "script":
		line("runs", "%s/s of the script", Count(res.runs()))
		line("deliveries", "%s/s of %s publishes/s", Count(res.DeliveriesPerSecond), Count(res.PublishesPerSecond))
	case "idle":
	default:
		line("deliveries", "%s/s of %s publishes/s", Count(res.DeliveriesPerSecond), Count(res.PublishesPerSecond))
	}
	if res.Measure != "idle" {
		line("latency", "%s  (%s)", res.LatencyMs, res.latencyOf())
	}
	for i, st := range res.Stages {
		if res.Measure == "idle" {
			break
		}
		line("  stage "+strconv.Itoa(i+1), "%s  at %s/s%s", st.LatencyMs, Count(st.Rate), st.Note())
	}
	for _, a := range res.Script {
		text := a.LatencyMs.String()
		if a.Verb == "sleep" {
			text = Count(float64(a.LatencyMs.Count)) + " times"
		}
		if a.Failed > 0 {
			text += fmt.Sprintf("; %d failed: %s", a.Failed, a.Why)
		}
		line("  "+a.Name, "%s", text)
	}
	if res.DeliveredMs != nil {
		line("  delivered", "%s", *res.DeliveredMs)
	}
	if res.AckMs != nil && res.Measure != "publish" && res.Measure != "echo" {
		line("acknowledged", "%s", *res.AckMs)
	}
	if res.ConnectMs != nil && res.Measure != "connect" {
		what := "connected"
		if res.Presence != nil {
			what = "seen to join"
		}
		line(what, "%s", *res.ConnectMs)
	}
	line("accounting", "expected %d, received %d, lost %d, duplicated %d, reordered %d, corrupted %d, late %d",
		res.Expected, res.Received, res.Lost, res.Duplicated, res.Reordered, res.Corrupted, res.Late)
	if n := res.Superseded; n > 0 {
		line("", "%d values were replaced by newer ones before they were sent", n)
	}
	if res.Refused+res.Unanswered+res.Unsent > 0 {
		line("", "refused %d, unanswered %d, could not be sent %d", res.Refused, res.Unanswered, res.Unsent)
	}
	if n := res.Resent; n > 0 {
		line("", "%d requests were sent again: the target had closed an idle connection under them", n)
	}
	line("", "%s", res.Connections.Accounting)
	line("checked", "%s", res.Connections.Chosen)
	if n := res.Connections.Other; n > 0 {
		line("", "%d other messages at the checked connections: typing, presence, expiries", n)
	}
	if p := res.Presence; p != nil && p.Joined+p.Seen+p.Unseen+p.Leaves > 0 {
		line("presence", "%d joined; arrivals seen %d, not seen %d; departures seen %d", p.Joined, p.Seen, p.Unseen, p.Leaves)
	}
	if h := res.Herd; h != nil {
		line("herd", "%d connections came back within %.2f s", h.Resumed, h.Seconds)
	}
	if c := res.Connections; c.Closed+c.Failed+c.StalledCut > 0 {
		line("connections", "ended by the target %d, did not get in %d, stalled and ended %d", c.Closed, c.Failed, c.StalledCut)
	}
	cpu := "not known"
	if res.ServerCPU != nil {
		cpu = fmt.Sprintf("%.2f cores", *res.ServerCPU)
	}
	if m := res.ServerMemory; m != nil {
		cpu += fmt.Sprintf(", %s at most", Bytes(float64(m.Peak)))
		if m.PerConnection > 0 {
			cpu += fmt.Sprintf(", %s a connection", Bytes(m.PerConnection))
		}
	}
	line("target", "%s", cpu)
	if u := res.Unit; u != nil {
		line("unit", "%s", u)
	}
	line("load generator", "%.2f of %d cores; late in sending %.2f, reading %.2f, waking %.2f ms (p99)", res.ClientCPU, res.ClientCores, res.OwnLag.Send, res.OwnLag.Read, res.OwnLag.Wake)
	for _, a := range res.Agents {
		line("  "+a.Name, "%d subscribers, %d publishers; clock ahead by %.2f ms, give or take %.2f, drift %.2f; %.2f of %d cores", a.Subscribers, a.Publishers, a.OffsetMs, a.UncertaintyMs, a.DriftMs, a.CPU, a.Cores)
	}
	if len(res.Agents) > 0 {
		line("", "latencies are of messages that came back to the machine that published them, by its clock")
	}
	res.searchText(&b)
	for _, t := range res.Troubles {
		line("note", "%s", t)
	}
	if res.Valid {
		line("valid", "yes")
	}
	for _, why := range res.InvalidBecause {
		line("NOT VALID", "%s", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (res *Result) searchText(b *strings.Builder) {
	if len(res.Search) == 0 {
		return
	}
	fmt.Fprintf(b, "  search\n")
	for _, p := range res.Search {
		held := "holds"
		if !p.Held {
			held = "does not hold: " + p.Why
		}
		fmt.Fprintf(b, "    %10s/s  %12s deliveries/s  p99 %8.2f ms  %s\n", Count(p.Rate), Count(p.Deliveries), p.P99, held)
	}
}

// latencyOf returns from when to when latency was measured.
func (res *Result) latencyOf() string {
	from := "due"
	switch {
	case res.Think > 0:
		from = "due, after thinking,"
	case res.Loop == "closed":
		from = "sent; closed loop, for ceilings only"
	}
	switch res.Measure {
	case "connect":
		return "from when due to subscribed" + after(res.Loop)
	case "publish":
		return "from when " + from + " to answered"
	case "script":
		return "of a run of the script without its sleeps, from when it was due"
	case "echo":
		return "from when " + from + " to the response"
	}
	return "from when " + from + " to read"
}

// loop is what decides when messages are due.
func (res *Result) loop() string {
	if res.Think > 0 {
		return fmt.Sprintf("%v think time", time.Duration(res.Think*1e9))
	}
	return res.Loop + " loop"
}

// responses is how many came a second: on the connections that asked, or to requests over HTTP.
func (res *Result) responses() float64 {
	if res.DeliveriesPerSecond > 0 {
		return res.DeliveriesPerSecond
	}
	return res.PublishesPerSecond
}

// runs is how many times a second the script was run through.
func (res *Result) runs() float64 { return float64(res.LatencyMs.Count) / max(res.Seconds, 1e-9) }

func after(loop string) string {
	if loop == "closed" {
		return "; closed loop, for ceilings only"
	}
	return ""
}

// String is the subscribers, channels and payload.
func (s Setup) String() string {
	some := func(n int, noun string) string {
		if n == 1 {
			return "1 " + noun
		}
		return Count(float64(n)) + " " + noun + "s"
	}
	return some(s.Subscribers, "subscriber") + ", " + some(s.Channels, "channel") + ", " + Count(float64(s.Payload)) + " B"
}

// String is the price of a write and what the target used in writes.
func (u Unit) String() string {
	if u.ServerWrites == nil {
		return u.Price.String()
	}
	return u.Price.String() + fmt.Sprintf("; the target used the time of %s/s", Count(*u.ServerWrites))
}

// Note returns what is special about a stage. The page uses it, too.
func (s Stage) Note() string {
	switch {
	case s.Herd:
		return ", all cut at its beginning"
	case s.Slow > 0:
		return fmt.Sprintf(", %.3g %% of the clients not reading", s.Slow*100)
	}
	return ""
}

// String is the usual line of percentiles.
func (q Quantiles) String() string {
	if q.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %s  p90 %s  p99 %s  p99.9 %s  max %s ms", digits(q.P50), digits(q.P90), digits(q.P99), digits(q.P999), digits(q.Max))
}

// Count writes a number for people: 950, 12.3 k, 4.56 M.
func Count(v float64) string {
	switch a := math.Abs(v); {
	case a >= 999.5e6:
		return digits(v/1e9) + " G"
	case a >= 999.5e3:
		return digits(v/1e6) + " M"
	case a >= 9999.5:
		return digits(v/1e3) + " k"
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return digits(v)
}

// Bytes writes a number of bytes for people.
func Bytes(v float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v >= u.size {
			return digits(v/u.size) + " " + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}

// ms writes three digits digits, or as many as there are before the point.
func digits(v float64) string {
	after := 2
	for limit := 10.0; after > 0 && math.Abs(v) >= limit; limit *= 10 {
		after--
	}
	return strconv.FormatFloat(v, 'f', after, 64)
}

// title names a run: its scenario, target and when it ran.
func (res *Result) title() string {
	return res.Scenario + " on " + res.Target + ", " + res.Started.Format(time.DateTime)
}
