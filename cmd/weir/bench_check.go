package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"weir/loadtest"
	"weir/loadtest/protocol"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

type checkCommand struct {
	File string `arg:"" optional:"" help:"Scenario file with a target section, a preset, or a kind of server. Default: what --target says."`

	targetFlags
}

// Help is the detailed help of the command.
func (*checkCommand) Help() string {
	return "Lines that begin with > were sent, those with < were seen. Exits with 0 when the message that was published has arrived intact, " +
		"and with 1 when it has not, with the reason and, where it is known, what to change."
}

// Run checks the target.
func (c *checkCommand) Run(p *program) error {
	s := scenario.Scenario{Name: "check"}
	switch {
	case strings.HasSuffix(c.File, ".yaml") || strings.HasSuffix(c.File, ".yml"):
		var err error
		if s, err = scenario.ReadFile(c.File); err != nil {
			return benchError(err)
		}
		if s.Target == nil && c.Target == "" {
			return wrongf("bench check: %s: expected a target section in it, or --target", c.File)
		}
	case c.File != "" && c.Target != "":
		return wrongf("bench check: %s and --target %s: expected one of them", c.File, c.Target)
	case c.File != "" && c.File != "json" && !slices.Contains(slices.Concat(target.Names(), protocol.Names()), c.File):
		return wrongf("bench check: %q: expected a file ending in .yaml, or one of %s", c.File, strings.Join(slices.Concat(target.Names(), protocol.Names()), ", "))
	case c.File != "":
		c.Target = c.File
	}
	cfg, err := c.config(p, s)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := loadtest.Check(ctx, cfg, p.stdout); err != nil {
		return benchError(err)
	}
	return nil
}
