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

// recall reads the outcomes of an earlier comparison; none without a name, or a file.
func recall(name string) ([]outcome, error) {
	all, err := read[[]outcome](name)
	if name == "" || errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return slices.DeleteFunc(all, func(o outcome) bool { return len(o.Runs) == 0 && o.Skipped == "" }), err // no run counted
}

func read[T any](name string) (v T, err error) {
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return v, err
}

func write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}

// turn measures pairs until the time of one turn is over, at least one of them.
func (c *comparison) turn(ctx context.Context, pairs []pair, find func(pair) (cell, server)) ([]outcome, error) {
	var done []outcome
	for began := time.Now(); len(done) == 0 || len(done) < len(pairs) && time.Since(began) < c.turns; {
		l, s := find(pairs[len(done)])
		o, err := c.measure(ctx, l, s)
		if err != nil {
			return done, err
		}
		o.At = time.Now()
		log.Print(o.line(time.Since(began)))
		done = append(done, o)
	}
	return done, nil
}

// wrapped has another process of this program, run by the command c.wrap, take a turn.
func (c *comparison) wrapped(ctx context.Context, pairs []pair) ([]outcome, error) {
	todo, done := filepath.Join(c.dir, "todo.json"), filepath.Join(c.dir, "done.json")
	if err := write(todo, pairs); err != nil {
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
	return read[[]outcome](done)
}

// takeTurn is a turn for the process that runs this one.
func (c *comparison) takeTurn(ctx context.Context, todo, done string, find func(pair) (cell, server)) error {
	pairs, err := read[[]pair](todo)
	if err != nil {
		return err
	}
	list, err := c.turn(ctx, pairs, find)
	if err != nil {
		return err
	}
	return write(done, list)
}
