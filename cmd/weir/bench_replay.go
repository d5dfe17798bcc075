package main

import (
	"context"
	"os"

	"weir/loadtest"
	"weir/loadtest/record"
	"weir/loadtest/replay"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

type replayCommand struct {
	File  string  `arg:"" help:"A recording of weir record."`
	Times float64 `default:"1" placeholder:"N" help:"Multiply connections and messages by N, in the same time. Default: 1."`

	targetFlags

	Publishers *int              `placeholder:"N" help:"Connections that publish. Default: 16."`
	Pipeline   *int              `placeholder:"N" help:"Requests under way on one publisher's connection. Default: 1."`
	Checked    *scenario.Checked `placeholder:"N" help:"Connections that are checked message by message: auto, all, share or a number. Default: auto."`
	Prefix     string            `placeholder:"TEXT" help:"Channels are called this and a number. Default: bench:."`
	PID        []int             `name:"pid" placeholder:"PID" help:"Processes of the target, to sample their CPU and memory. Default: the process that listens on its port."`
	Metrics    string            `placeholder:"URL" help:"The target's Prometheus metrics, for its CPU and memory."`
	Out        string            `placeholder:"FILE" help:"Keep the raw results, for weir bench report and compare."`
	outputs
}

// Help is the detailed help of the command.
func (*replayCommand) Help() string {
	return "The same number of connections follows as many channels, and messages of the same sizes are published to them when they were, with what else a test has: every " +
		"delivery is accounted for. Messages shorter than 64 bytes have 64. Who joined while it was recorded comes, and stays as long as subscriptions did on average."
}

// Run plays the recording.
func (c *replayCommand) Run(p *program) error {
	if !(c.Times > 0 && c.Times <= 10_000) {
		return wrongf("bench replay: --times: expected more than 0, up to 10000")
	}
	f, err := os.Open(c.File)
	if err != nil {
		return wrongf("bench replay: %w", err)
	}
	rec, err := replay.Read(f)
	_ = f.Close() // it was read
	if err != nil {
		return wrongf("bench replay: %s: %w", c.File, err)
	}
	cfg, err := c.config(p, scenario.Scenario{Prefix: c.Prefix})
	if err != nil {
		return err
	}
	t, _, _, err := target.New(cfg.Target)
	if err != nil {
		return benchError(err)
	}
	s, err := rec.Scenario(replay.Options{Times: c.Times, Single: t.Traits().One()})
	if err != nil {
		return wrongf("bench replay: %s: %w", c.File, err)
	}
	set(&s.Publishers, c.Publishers)
	set(&s.Pipeline, c.Pipeline)
	set(&s.Checked, c.Checked)
	s.Prefix = c.Prefix
	if cfg, err = c.config(p, s); err != nil {
		return err
	}
	cfg.PIDs, cfg.Metrics, cfg.FindPID = c.PID, c.Metrics, cfg.FindPID && len(c.PID) == 0 && c.Metrics == ""
	return c.measured(p, cfg, c.Out, func(ctx context.Context, _ *program, cfg loadtest.Config) (*record.Record, error) {
		return loadtest.Run(ctx, cfg)
	})
}
