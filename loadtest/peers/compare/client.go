package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// trial is one way of running weir bench beside a client that shares no code with it (loadtest/peers/reader), in the same channel.
type trial struct {
	name, prefix, checked string
	subscribers, readers  int // of weir bench, and of the other: evenly among them, in the order of connecting
	rate                  float64
	slower                bool // weir bench does so much more that it reads later than the other: only rates have to agree
}

func trials() []trial {
	return []trial{
		{"windows of 50 ms, a sample checked", "bench:", "share", 1000, 100, 500, false},
		{"windows of 50 ms, all checked", "bench:", "all", 500, 500, 500, true},
		{"no window, a sample checked", "instant:", "share", 1000, 100, 30, false},
		{"no window, all checked", "instant:", "all", 300, 300, 60, true},
	}
}

// How far the two may be from each other.
const (
	rateMost    = .10
	latencyMost = .15
)

// seen is what one of the two has seen and used.
type seen struct {
	perConnection float64 // messages a second
	p50, p99      float64 // ms
	perCore       float64 // messages a second of processor time
}

// readings is what the other client prints.
type readings struct {
	Connections, Measured, Received, Missing, Again, Corrupted, Closed, Counted uint64
	CPUSeconds                                                                  float64
	P50, P99                                                                    int64 // ns: the system's clock at arrival minus the stamp
	FirstArrival, Slot                                                          int64 // ns
	Arrivals                                                                    []uint64
}

// errNotCounted is a run in which weir did not take all messages, or did not deliver them: the machine had too much else to do.
var errNotCounted = errors.New("a run that does not count")

var errDiffer = errors.New("weir bench and the other client differ")

// beside runs each trial, and writes what both have seen as a table in Markdown. It fails if they do not agree.
func (c *comparison) beside(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, "| weir at %s, %d runs | messages/s a connection | p50, ms | p99, ms | read and checked, messages/s and core |\n|---|---|---|---|---|\n", c.run, c.runs)
	var differ []string
	for _, l := range trials() {
		var ours, theirs []seen
		for tries := 0; len(ours) < c.runs; tries++ {
			a, b, err := c.pairOf(ctx, l)
			if errors.Is(err, errNotCounted) && tries < c.retries {
				log.Printf("%s: once more: %v", l.name, err)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			ours, theirs = append(ours, a), append(theirs, b)
			log.Printf("%s: %+v, C: %+v", l.name, a, b)
		}
		a, b := middle(ours), middle(theirs)
		for _, v := range []struct {
			what       string
			a, b, most float64
		}{{"rate", a.perConnection, b.perConnection, rateMost}, {"p50", a.p50, b.p50, latencyMost}, {"p99", a.p99, b.p99, latencyMost}} {
			if l.slower && v.what != "rate" {
				continue
			}
			if off := math.Abs(v.a/v.b - 1); !(off <= v.most) {
				differ = append(differ, fmt.Sprintf("%s: %s %.4g and %.4g", l.name, v.what, v.a, v.b))
			}
		}
		row := func(name string, n int, s seen) {
			fmt.Fprintf(w, "| %s: %s, %d connections | %.1f | %s | %s | %s |\n", l.name, name, n, s.perConnection, number(s.p50), number(s.p99), number(s.perCore))
		}
		row("weir bench", l.subscribers, a)
		row("the C client", l.readers, b)
	}
	if len(differ) > 0 {
		return fmt.Errorf("%w: %s", errDiffer, strings.Join(differ, "; "))
	}
	return nil
}

// middle is the median of each figure.
func middle(list []seen) seen {
	of := func(get func(seen) float64) float64 {
		v := make([]float64, len(list))
		for i, s := range list {
			v[i] = get(s)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return seen{
		of(func(s seen) float64 { return s.perConnection }), of(func(s seen) float64 { return s.p50 }),
		of(func(s seen) float64 { return s.p99 }), of(func(s seen) float64 { return s.perCore }),
	}
}

// pairOf runs both clients at once.
func (c *comparison) pairOf(ctx context.Context, l trial) (ours, theirs seen, err error) {
	s := servers()[0]
	up, err := s.start(ctx, c.places, c.serverCore)
	if err != nil {
		return ours, theirs, err
	}
	defer up.stop()
	tokens, err := c.tokens(ctx, l.readers)
	if err != nil {
		return ours, theirs, err
	}
	path := "/ws?channel=" + strings.ReplaceAll(l.prefix, ":", "%3A") + "0"
	other, err := c.startReader(ctx, address, path, tokens, c.warmup, c.warmup+c.run)
	if err != nil {
		return ours, theirs, err
	}
	defer other.stop()
	cmd, out, errs := c.command(ctx, []string{"bench", "fanout", "--url", "http://" + address, "--subscribers", strconv.Itoa(l.subscribers), "--rate", strconv.FormatFloat(l.rate, 'f', -1, 64),
		"--checked", l.checked, "--prefix", l.prefix, "--warmup", c.warmup.String(), "--duration", c.run.String(), "--json"})
	if err := cmd.Start(); err != nil {
		return ours, theirs, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends with the process, which the context ends
	waited := false
	defer func() {
		if !waited {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			<-exited
		}
	}()
	for other.opened < l.readers {
		select {
		case err := <-exited:
			waited = true
			return ours, theirs, fmt.Errorf("%w: ended early: %v: %s", errBench, err, errs)
		case <-time.After(2 * time.Millisecond):
		}
		now, err := counters()
		if err != nil {
			return ours, theirs, err
		}
		open := int(now["weir_subscriptions"]) - other.opened // those of weir bench, or a few more
		if err := other.open(min(l.readers, l.readers*open/l.subscribers)); err != nil {
			return ours, theirs, err
		}
	}
	err = <-exited
	waited = true
	if err != nil && cmd.ProcessState.ExitCode() != notValid {
		return ours, theirs, fmt.Errorf("%w: %v: %s", errBench, err, errs)
	}
	var res result
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		return ours, theirs, fmt.Errorf("%w: %w", errBench, err)
	}
	r, err := other.end()
	if err != nil {
		return ours, theirs, err
	}
	if why := res.missed(); why != "" {
		return ours, theirs, fmt.Errorf("%w: %s", errNotCounted, why)
	}
	if why := res.broken(); why != "" { // it was late itself, as the other was: they share a core
		log.Printf("%s: %s", l.name, why)
	}
	if r.Missing+r.Again+r.Corrupted+r.Closed > 0 || r.Measured == 0 {
		return ours, theirs, fmt.Errorf("the C client: %d measured, %d missing, %d again, %d corrupted, %d closed", r.Measured, r.Missing, r.Again, r.Corrupted, r.Closed)
	}
	ours = seen{res.DeliveriesPerSecond / float64(l.subscribers), res.LatencyMs.P50, res.LatencyMs.P99, res.DeliveriesPerSecond / res.ClientCPU}
	return ours, r.seen(res.Started, c.warmup, c.run), nil
}

// seen are the readings over the measurement of weir bench, whose load began at base.
func (r readings) seen(base time.Time, warm, run time.Duration) seen {
	from, arrived := base.Add(warm).UnixNano(), uint64(0)
	for i, n := range r.Arrivals {
		if at := r.FirstArrival + int64(i)*r.Slot; at >= from && at < from+int64(run) {
			arrived += n
		}
	}
	ms := func(at int64) float64 { return float64(at-base.UnixNano()) / 1e6 }
	return seen{float64(arrived) / run.Seconds() / float64(r.Connections), ms(r.P50), ms(r.P99), float64(r.Counted) / r.CPUSeconds}
}

// tokens writes a file of tokens, each of which a relay takes for up to 100 connections.
func (c *comparison) tokens(ctx context.Context, connections int) (name string, err error) {
	var text []byte
	for i := range connections/100 + 1 {
		out, err := exec.CommandContext(ctx, c.bin+"/weir", "token", "--dev", "--sub", fmt.Sprintf("reader-%d", i), "--channel", "*:subscribe").Output()
		if err != nil {
			return "", fmt.Errorf("make a token: %w", err)
		}
		text = append(text, out...)
	}
	name = filepath.Join(c.dir, "tokens")
	return name, os.WriteFile(name, text, 0o600)
}

// reader is the other client, under way.
type reader struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    strings.Builder
	opened int
	ended  bool
}

// startReader starts the other client on the core of weir bench, without connections.
func (c *comparison) startReader(ctx context.Context, address, path, tokens string, from, until time.Duration) (*reader, error) {
	args := []string{c.bin + "/reader", address, path, tokens, strconv.FormatInt(int64(from), 10), strconv.FormatInt(int64(until), 10)}
	if c.clientCore != "" {
		args = append([]string{"taskset", "-c", c.clientCore}, args...)
	}
	r := &reader{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r.in = in
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the C client: %w", err)
	}
	return r, nil
}

// open has it open more connections, up to n.
func (r *reader) open(n int) error {
	if n <= r.opened {
		return nil
	}
	_, err := io.WriteString(r.in, strings.Repeat("+", n-r.opened))
	r.opened = n
	return err
}

// end has it print what it has seen.
func (r *reader) end() (all readings, err error) {
	if err := r.wait(); err != nil {
		return all, fmt.Errorf("the C client: %w", err)
	}
	return all, json.Unmarshal([]byte(r.out.String()), &all)
}

// stop ends it, if it has not ended.
func (r *reader) stop() { _ = r.wait() }

func (r *reader) wait() error {
	if r.ended {
		return nil
	}
	r.ended = true
	return errors.Join(r.in.Close(), r.cmd.Wait())
}
