package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// notValid is the exit code of a run that is not valid. Its report says why, and is judged here.
const notValid = 3

// result is what is used of weir bench --json.
type result struct {
	Started             time.Time `json:"started"`
	DeliveriesPerSecond float64   `json:"deliveriesPerSecond"`
	PublishesPerSecond  float64   `json:"publishesPerSecond"`
	ConnectsPerSecond   float64   `json:"connectsPerSecond"`
	Lost                uint64    `json:"lost"`
	Duplicated          uint64    `json:"duplicated"`
	Reordered           uint64    `json:"reordered"`
	Corrupted           uint64    `json:"corrupted"`
	Refused             uint64    `json:"refused"`
	Unsent              uint64    `json:"unsent"`
	LatencyMs           struct {
		P50, P99 float64
	} `json:"latencyMs"`
	ServerCPU *float64 `json:"serverCpu"`
	Unit      struct {
		WriteMicros float64 `json:"writeMicros"`
	} `json:"unit"`
	ClientCPU    float64 `json:"clientCpu"`
	ServerMemory *struct {
		PerConnection float64 `json:"perConnection"`
	} `json:"serverMemory"`
	Setup struct {
		Rate float64 `json:"rate"`
	} `json:"setup"`
	Connections struct {
		Closed uint64 `json:"closed"`
		Chosen string `json:"chosen"`
	} `json:"connections"`
	Search []struct {
		Rate float64
		Held bool
	} `json:"search"`
	Valid          bool     `json:"valid"`
	InvalidBecause []string `json:"invalidBecause"`
}

// of is the number that the cell is about.
func (r result) of(f figure) float64 {
	switch f {
	case deliveries:
		return r.DeliveriesPerSecond
	case publishes:
		return r.PublishesPerSecond
	case connects:
		return r.ConnectsPerSecond
	case latency:
		return r.LatencyMs.P99
	}
	if r.ServerMemory == nil {
		return 0
	}
	return r.ServerMemory.PerConnection / 1024
}

// broken returns why a run does not count: it was not valid, or something did not arrive.
func (r result) broken() string {
	return strings.Trim(strings.Join(r.InvalidBecause, "; ")+"; "+r.missed(), "; ")
}

// full reports whether weir bench had no processor left.
func (r result) full() string {
	for _, why := range r.InvalidBecause {
		if strings.Contains(why, "cores") {
			return why
		}
	}
	return ""
}

// floor reports whether the figure is the least that the server does: weir bench was the limit of a closed loop.
func (o outcome) floor() bool {
	n := 0
	for _, r := range o.Runs {
		if r.full() != "" {
			n++
		}
	}
	return o.cell.closed() && n*2 > len(o.Runs)
}

// shown is the figure as it is printed.
func (o outcome) shown() string {
	if o.floor() {
		return "at least " + number(o.figure())
	}
	return number(o.figure())
}

// missed returns what did not arrive as it should.
func (r result) missed() string {
	var why []string
	for _, c := range []struct {
		n    uint64
		what string
	}{{r.Lost, "lost"}, {r.Duplicated, "duplicated"}, {r.Reordered, "reordered"}, {r.Corrupted, "corrupted"}, {r.Refused, "refused"}, {r.Unsent, "not taken"}, {r.Connections.Closed, "connections ended by the server"}} {
		if c.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(why, "; ")
}

// outcome is all runs of a cell against a server. Its exported fields are kept in files.
type outcome struct {
	Pair    pair
	At      time.Time // when it was measured
	Runs    []result  // that count
	Broken  []string  // why others did not
	Lowered int       // times the rate of the search was lowered because it did not hold
	Skipped string    // why it was not measured at all

	cell   cell
	server server
}

// median is the median over the runs that count, of what of tells.
func (o outcome) median(of func(result) float64) float64 {
	if len(o.Runs) == 0 {
		return 0
	}
	v := make([]float64, len(o.Runs))
	for i, r := range o.Runs {
		v[i] = of(r)
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// figure is the median of the number that the cell is about.
func (o outcome) figure() float64 {
	return o.median(func(r result) float64 { return r.of(o.cell.measure) })
}

// comparison runs everything. Its fields are set once.
type comparison struct {
	places
	timing
	serverCore, clientCore string
	wrap                   string        // runs the measurements; empty: this process does
	turns                  time.Duration // of one turn
}

// measure runs a cell against a server: it searches the rate, when the cell asks for the highest, and runs
// it so often. Only a cancelled context is an error.
func (c *comparison) measure(ctx context.Context, l cell, s server) (outcome, error) {
	o := outcome{Pair: pair{l.name, s.name}, cell: l, server: s}
	if o.Skipped = s.missing(c.places); o.Skipped != "" {
		return o, nil
	}
	rate := 0.0
	if l.ceiling != nil {
		res, err := c.once(ctx, l, s, l.messages(l.ceiling[s.name]), true)
		if err != nil {
			o.Skipped = err.Error()
			return o, ctx.Err()
		}
		for _, p := range res.Search {
			if p.Held {
				rate = max(rate, p.Rate)
			}
		}
		if res.Setup.Rate > 0 && res.missed() == "" && res.LatencyMs.P99 <= milliseconds(p99) {
			rate = res.Setup.Rate
		}
		if rate == 0 {
			o.Skipped = "no rate held: " + res.broken()
			return o, nil
		}
	}
	for {
		again, err := c.repeat(ctx, &o, rate)
		if err != nil || !again {
			return o, err
		}
		o.Lowered++
		rate *= .9
	}
}

// repeat does the runs at a rate. again is true when most of them did not hold it.
func (c *comparison) repeat(ctx context.Context, o *outcome, rate float64) (again bool, err error) {
	o.Runs, o.Broken = nil, nil
	for range c.runs {
		res, err := c.once(ctx, o.cell, o.server, rate, false)
		if err != nil && ctx.Err() != nil {
			return false, ctx.Err()
		}
		why := ""
		switch {
		case err != nil:
			why = err.Error()
		case o.cell.ceiling != nil && res.LatencyMs.P99 > milliseconds(p99):
			why = fmt.Sprintf("p99 %.0f ms at the rate that the search found", res.LatencyMs.P99)
		}
		if err == nil && o.cell.closed() {
			// That weir bench was late, or full, has only made the figure lower.
			why = res.missed()
		} else if err == nil && (o.cell.ceiling == nil || why != "") {
			why = strings.Trim(why+"; "+res.broken(), "; ")
		} else if err == nil {
			// Within the bound: that weir bench was late itself has only added to the latency, as in the search.
			if why = res.missed(); res.DeliveriesPerSecond == 0 {
				why = "nothing arrived"
			}
		}
		if why != "" {
			o.Broken = append(o.Broken, why)
			continue
		}
		o.Runs = append(o.Runs, res)
	}
	return o.cell.ceiling != nil && len(o.Runs)*2 <= c.runs && o.Lowered < c.retries, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

var errBench = errors.New("weir bench failed")

// once starts the server afresh and runs weir bench against it.
func (c *comparison) once(ctx context.Context, l cell, s server, rate float64, search bool) (result, error) {
	var res result
	up, err := s.start(ctx, c.places, c.serverCore)
	if err != nil {
		return res, err
	}
	defer up.stop()
	args := l.bench(s, c.timing, rate, search)
	if s.goes {
		args = append(args, "--pid", strconv.Itoa(up.cmd.Process.Pid))
	}
	if l.measure == memory && s.debug != "" {
		args = append(args, "--metrics", "http://"+s.debug+"/metrics")
	}
	cmd, out, errs := c.command(ctx, args)
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != notValid {
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return res, fmt.Errorf("%w: %v: %s", errBench, err, lines[len(lines)-1])
	}
	name := fmt.Sprintf("%s-%s-%d.json", l.name, strings.NewReplacer(" ", "-", ",", "").Replace(s.name), time.Now().UnixMilli())
	if err := os.WriteFile(filepath.Join(c.dir, name), out.Bytes(), 0o644); err != nil {
		return res, err
	}
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		return res, fmt.Errorf("%w: %w", errBench, err)
	}
	return res, nil
}

// command is weir bench with arguments on its core, and what it prints.
func (c *comparison) command(ctx context.Context, args []string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", c.clientCore, c.bin + "/weir"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, errs
	return cmd, out, errs
}
