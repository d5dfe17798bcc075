// Command compare measures weir and its peers with weir bench, one after the other on one machine, and
// writes docs/benchmarks.md. loadtest/compare.sh builds what it needs and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("compare: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	var c comparison
	flag.StringVar(&c.root, "root", ".", "root of the sources")
	flag.StringVar(&c.bin, "bin", "bin", "directory of the programs weir, centrifuge, gws and reader")
	flag.StringVar(&c.dir, "dir", "", "directory for raw results and logs, which exists")
	out := flag.String("out", "", "file to write; standard output without")
	quick := flag.Bool("quick", false, "a short look: no ceilings, one short run of the other scenarios")
	only := flag.String("only", "", "only scenarios whose name matches this regular expression")
	skip := flag.String("skip", "", "no pair of scenario/server that matches this regular expression")
	peers := flag.String("servers", "", "only servers whose name matches this regular expression")
	flag.IntVar(&c.runs, "runs", 3, "runs of each")
	flag.DurationVar(&c.run, "duration", 4*time.Second, "length of a run")
	flag.StringVar(&c.serverCore, "server-core", "0", "core of the servers, as taskset names it")
	flag.StringVar(&c.clientCore, "client-core", "1", "core of weir bench")
	along := flag.Bool("curves", false, "instead: how weir's cost grows with subscribers, channels, payload and rate")
	client := flag.Bool("client", false, "instead: what weir bench and a client in C see and use side by side")
	flag.StringVar(&c.wrap, "wrap", "", "command that runs the measurements, a turn at a time, such as 'nice -n -5' or 'flock /tmp/lock'")
	flag.DurationVar(&c.turns, "turn", time.Minute, "with -wrap: nothing more is begun in a turn after so long")
	known := flag.String("known", "", "file that keeps the outcomes: what it has already is not measured again")
	todo := flag.String("todo", "", "used by -wrap")
	done := flag.String("done", "", "used by -wrap")
	flag.Parse()
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("one core: expected one for the server and another for weir bench")
	}
	c.warmup, c.probe, c.retries = time.Second, time.Second, 16
	if *quick {
		c.runs, c.run = 1, time.Second
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if *client {
		return c.beside(ctx, os.Stdout)
	}
	if *along {
		return c.draw(ctx, os.Stdout, chosen(match.MatchString))
	}
	without, err := regexp.Compile(*skip)
	if err != nil {
		return fmt.Errorf("-skip: %w", err)
	}
	which, err := regexp.Compile(*peers)
	if err != nil {
		return fmt.Errorf("-servers: %w", err)
	}
	p := page{machine: machine(c.places), timing: c.timing, from: time.Now(), outcomes: map[string]map[string]outcome{}, cores: [2]string{c.serverCore, c.clientCore}}
	p.servers = slices.DeleteFunc(servers(), func(s server) bool { return !which.MatchString(s.name) })
	p.cells = slices.DeleteFunc(cells(), func(l cell) bool { return (*quick && !l.quick) || !match.MatchString(l.name) })
	cellOf, serverOf := map[string]cell{}, map[string]server{}
	var pairs []pair
	for _, l := range p.cells {
		cellOf[l.name] = l
		p.outcomes[l.name] = map[string]outcome{}
		for _, s := range p.servers {
			serverOf[s.name] = s
			if slices.Contains(l.servers, s.name) && (*skip == "" || !without.MatchString(l.name+"/"+s.name)) {
				pairs = append(pairs, pair{l.name, s.name})
			}
		}
	}
	find := func(p pair) (cell, server) { return cellOf[p.Cell], serverOf[p.Server] }
	if *todo != "" {
		return c.takeTurn(ctx, *todo, *done, find)
	}
	take := func(pairs []pair) ([]outcome, error) { return c.turn(ctx, pairs, find) }
	if c.wrap != "" {
		take = func(pairs []pair) ([]outcome, error) { return c.wrapped(ctx, pairs) }
	}
	all, err := recall(*known)
	if err != nil {
		return err
	}
	pairs = slices.DeleteFunc(pairs, func(p pair) bool {
		return slices.ContainsFunc(all, func(o outcome) bool { return o.Pair == p })
	})
	enter := func(list []outcome) {
		for _, o := range list {
			if o.cell, o.server = find(o.Pair); o.cell.name != "" && o.server.name != "" {
				p.outcomes[o.Pair.Cell][o.Pair.Server] = o
				if o.At.Before(p.from) {
					p.from = o.At
				}
				if o.At.After(p.to) {
					p.to = o.At
				}
			}
		}
	}
	enter(all)
	var missed []string
	for len(pairs) > 0 {
		list, err := take(pairs)
		if err != nil {
			return err
		}
		all = append(all, list...)
		if *known != "" {
			if err := write(*known, all); err != nil {
				return err
			}
		}
		enter(list)
		for _, k := range list {
			if _, s := find(k.Pair); s.target == "weir" && len(k.Runs) == 0 {
				missed = append(missed, k.Pair.Cell)
			}
		}
		pairs = pairs[len(list):]
		if *out != "" && len(pairs) > 0 { // what there is so far
			if err := p.save(*out); err != nil {
				return err
			}
		}
	}
	if err := p.save(*out); err != nil {
		return err
	}
	if len(missed) > 0 {
		return fmt.Errorf("%w: %s", errMissed, strings.Join(missed, ", "))
	}
	return nil
}

// errMissed is the failure of a comparison without the one that all are compared with.
var errMissed = errors.New("no run of weir counts")

// save writes the page to a file, or to standard output when there is no name.
func (p page) save(name string) error {
	if name == "" {
		return p.write(os.Stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(p.write(f), f.Close())
}

// line is an outcome for the terminal.
func (o outcome) line(since time.Duration) string {
	at := fmt.Sprintf("%4.0fs  %-10s %-21s", since.Seconds(), o.cell.name, o.server.name)
	if o.Skipped != "" {
		return at + "not measured: " + o.Skipped
	}
	text := fmt.Sprintf("%s %s %s, %d of %d runs count", at, number(o.figure()), o.cell.measure, len(o.Runs), len(o.Runs)+len(o.Broken))
	for _, why := range o.Broken {
		text += "\n      " + why
	}
	return text
}
