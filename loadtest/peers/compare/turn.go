package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Where a machine is shared, measurements can be run by another command (-wrap), such as nice, chrt, or flock with a
// lock that others respect. This program then runs itself by it, for one turn after the other.

// pair is one cell and one server.
type pair struct{ Cell, Server string }

// kept is an outcome on its way between two processes.
type kept struct {
	Pair    pair
	At      time.Time // when it was measured
	Runs    []result
	Broken  []string
	Lowered int
	Skipped string
}

func (o outcome) keep() kept {
	return kept{pair{o.cell.name, o.server.name}, time.Now(), o.runs, o.broken, o.lowered, o.skipped}
}

func (k kept) outcome(l cell, s server) outcome {
	return outcome{cell: l, server: s, runs: k.Runs, broken: k.Broken, lowered: k.Lowered, skipped: k.Skipped}
}

// recall reads the outcomes of an earlier comparison; none without a name, or a file.
func recall(name string) ([]kept, error) {
	b, err := os.ReadFile(name)
	if name == "" || errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []kept
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return slices.DeleteFunc(all, func(k kept) bool { return len(k.Runs) == 0 && k.Skipped == "" }), nil // no run counted
}

// remember writes them.
func remember(name string, all []kept) error {
	if name == "" {
		return nil
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}

// turn measures pairs until the time of one turn is over, at least one of them.
func (c *comparison) turn(ctx context.Context, pairs []pair, find func(pair) (cell, server)) ([]kept, error) {
	var done []kept
	for began := time.Now(); len(done) == 0 || len(done) < len(pairs) && time.Since(began) < c.turns; {
		l, s := find(pairs[len(done)])
		o, err := c.measure(ctx, l, s)
		if err != nil {
			return done, err
		}
		log.Print(o.line(time.Since(began)))
		done = append(done, o.keep())
	}
	return done, nil
}

// wrapped has another process of this program, run by the command c.wrap, take a turn.
func (c *comparison) wrapped(ctx context.Context, pairs []pair) ([]kept, error) {
	todo, done := filepath.Join(c.dir, "todo.json"), filepath.Join(c.dir, "done.json")
	b, err := json.Marshal(pairs)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(todo, b, 0o644); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append(strings.Fields(c.wrap), self)
	args = append(append(args, os.Args[1:]...), "-wrap", "", "-todo", todo, "-done", done)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("-wrap %q: %w", c.wrap, err)
	}
	if b, err = os.ReadFile(done); err != nil {
		return nil, err
	}
	var list []kept
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	return list, nil
}

// takeTurn is a turn for the process that runs this one.
func (c *comparison) takeTurn(ctx context.Context, todo, done string, find func(pair) (cell, server)) error {
	b, err := os.ReadFile(todo)
	if err != nil {
		return err
	}
	var pairs []pair
	if err := json.Unmarshal(b, &pairs); err != nil {
		return fmt.Errorf("%s: %w", todo, err)
	}
	list, err := c.turn(ctx, pairs, find)
	if err != nil {
		return err
	}
	if b, err = json.Marshal(list); err != nil {
		return err
	}
	return os.WriteFile(done, b, 0o644)
}
