package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// curve is how weir's cost grows with one thing, everything else the same.
type curve struct {
	name, title, along string
	points             []point
}

// point is one run of a curve.
type point struct {
	at                            string
	subscribers, channels, size   int
	rate                          float64 // messages a second, in all
	batch                         int
	perSecond, writes, sent, core float64 // what weir's own counters said, a second
	res                           result
	broken                        string
}

func curves() []curve {
	subscribers := curve{name: "subscribers", title: "One channel, 100 messages/s of 128 B", along: "subscribers"}
	for _, n := range []int{10, 100, 1000, 2000, 5000, 10_000, 15_000} {
		subscribers.points = append(subscribers.points, point{at: strconv.Itoa(n), subscribers: n, channels: 1, size: 128, rate: 100, batch: 1})
	}
	channels := curve{name: "channels", title: "5000 subscribers, each of which gets 10 messages/s of 128 B", along: "channels"}
	for _, n := range []int{1, 10, 100, 1000, 5000} {
		channels.points = append(channels.points, point{at: strconv.Itoa(n), subscribers: 5000, channels: n, size: 128, rate: float64(10 * n), batch: min(n, 100)})
	}
	payload := curve{name: "payload", title: "One channel, 1000 subscribers, 100 messages/s", along: "bytes"}
	for _, n := range []int{64, 128, 256, 1024, 4096, 16384} {
		payload.points = append(payload.points, point{at: strconv.Itoa(n), subscribers: 1000, channels: 1, size: n, rate: 100, batch: 1})
	}
	rate := curve{name: "rate", title: "One channel, 1000 subscribers, 128 B", along: "messages/s"}
	for _, n := range []int{1, 10, 20, 100, 1000, 5000, 10_000, 20_000} {
		rate.points = append(rate.points, point{at: strconv.Itoa(n), subscribers: 1000, channels: 1, size: 128, rate: float64(n), batch: max(1, n/500)})
	}
	connections := curve{name: "connections", title: "One channel, 1 M deliveries/s of 128 B", along: "subscribers"}
	for _, n := range []int{1000, 2000, 5000, 10_000, 15_000} {
		connections.points = append(connections.points, point{at: strconv.Itoa(n), subscribers: n, channels: 1, size: 128, rate: 1e6 / float64(n), batch: max(1, 20_000/n)})
	}
	spread := curve{name: "spread", title: "5000 subscribers, 100,000 deliveries/s of 128 B", along: "channels"}
	for _, n := range []int{1, 10, 100, 1000} {
		spread.points = append(spread.points, point{at: strconv.Itoa(n), subscribers: 5000, channels: n, size: 128, rate: 20 * float64(n), batch: 1})
	}
	return []curve{subscribers, connections, channels, spread, payload, rate}
}

// draw runs the curves against weir on one core, then on both, and writes a table for each, as Markdown. Costs are told in
// time and in units, that of one small write on this machine just before: of different days only the latter compare. On both
// cores weir bench takes its share of one.
func (c *comparison) draw(ctx context.Context, w io.Writer, list []curve) error {
	if out, err := exec.CommandContext(ctx, c.bin+"/weir", "bench", "unit").Output(); err == nil {
		fmt.Fprintf(w, "One small write here: %s\n", out)
	}
	for i, cores := range []string{c.serverCore, c.serverCore + "," + c.clientCore} {
		fmt.Fprintf(w, "## %s\n\n", []string{"One core", "Two cores"}[i])
		if err := c.drawOn(ctx, w, list, cores); err != nil {
			return err
		}
	}
	return nil
}

// drawOn is draw for a server on some cores.
func (c *comparison) drawOn(ctx context.Context, w io.Writer, list []curve, cores string) error {
	for _, l := range list {
		fmt.Fprintf(w, "### %s\n\n| %s | deliveries/s | writes/s | B a write | cores | CPU a write, µs | the same in units | deliveries a unit | p50, ms | p99, ms | unit, µs | |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n", l.title, l.along)
		for _, p := range l.points {
			if err := c.take(ctx, &p, cores); err != nil {
				return fmt.Errorf("%s %s: %w", l.name, p.at, err)
			}
			write, unit := p.core/max(p.writes, 1)*1e6, p.res.Unit.WriteMicros
			fmt.Fprintf(w, "| %s | %s | %s | %.0f | %.3f | %.2f | %.2f | %s | %s | %s | %.2f | %s |\n", p.at, number(p.perSecond), number(p.writes), p.sent/max(p.writes, 1),
				p.core, write, write/max(unit, 0.01), number(p.perSecond/max(p.core*1e6, 1)*unit), number(p.res.LatencyMs.P50), number(p.res.LatencyMs.P99), unit, p.broken)
			log.Printf("%s %s: %s deliveries/s at %.2f cores %s", l.name, p.at, number(p.perSecond), p.core, p.broken)
		}
		fmt.Fprintln(w)
	}
	return ctx.Err()
}

// take makes one run, and reads weir's counters at both ends of its measurement.
func (c *comparison) take(ctx context.Context, p *point, cores string) error {
	s := servers()[0]
	up, err := s.start(ctx, c.places, cores)
	if err != nil {
		return err
	}
	defer up.stop()
	cmd, out, errs := c.command(ctx, []string{"bench", "fanout", "--url", "http://" + address, "--pid", strconv.Itoa(up.cmd.Process.Pid),
		"--subscribers", strconv.Itoa(p.subscribers), "--channels", strconv.Itoa(p.channels), "--payload", strconv.Itoa(p.size), "--publishers", "16",
		"--rate", strconv.FormatFloat(p.rate, 'f', -1, 64), "--batch", strconv.Itoa(p.batch), "--duration", (c.run + time.Second).String(), "--warmup", c.warmup.String(), "--json"})
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends with the process; received below
	before, began, err := c.flowing(p.subscribers, exited)
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	time.Sleep(c.run)
	after, err := counters()
	took := time.Since(began).Seconds()
	if failed := <-exited; failed != nil && cmd.ProcessState.ExitCode() != notValid || err != nil {
		return fmt.Errorf("%w: %v %v: %s", errBench, failed, err, strings.TrimSpace(errs.String()))
	}
	a := func(name string) float64 { return (after[name] - before[name]) / took }
	p.perSecond, p.writes, p.sent, p.core = a("weir_deliveries_total"), a("weir_writes_total"), a("weir_bytes_sent_total"), a("process_cpu_seconds_total")
	if err := json.Unmarshal(out.Bytes(), &p.res); err != nil {
		return fmt.Errorf("%w: %w", errBench, err)
	}
	p.broken = p.res.broken()
	return nil
}

// flowing waits until all are connected and the load has been running for the warm-up, and reads the counters.
func (c *comparison) flowing(subscribers int, exited chan error) (map[string]float64, time.Time, error) {
	var since time.Time
	for {
		select {
		case err := <-exited:
			return nil, since, fmt.Errorf("%w: ended early: %v", errBench, err)
		case <-time.After(20 * time.Millisecond):
		}
		now, err := counters()
		if err != nil {
			return nil, since, err
		}
		// the greeting of weir bench is one message; the load begins after it
		if since.IsZero() && now["weir_subscriptions"] >= float64(subscribers) && now["weir_publishes_total"] > 1 {
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) >= c.warmup {
			return now, time.Now(), nil
		}
	}
}

// counters reads weir's metrics, summed over their labels.
func counters() (map[string]float64, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	all := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] += v
		}
	}
	return all, lines.Err()
}

// chosen are the curves of a name.
func chosen(match func(string) bool) []curve {
	return slices.DeleteFunc(curves(), func(l curve) bool { return !match(l.name) })
}
