package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"weir/internal/units"
	"weir/loadtest"
	"weir/loadtest/protocol"
	"weir/loadtest/record"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// benchCommands is the load tester: a scenario's name follows weir bench directly.
type benchCommands struct {
	Run     benchCommand   `cmd:"" default:"withargs" help:"Run a scenario."`
	Agent   agentCommand   `cmd:"" help:"Do a part of a test that several machines do together."`
	Check   checkCommand   `cmd:"" help:"Connect one client and one publisher, and show what was sent, seen and understood."`
	Compare compareCommand `cmd:"" help:"Compare runs side by side."`
	Replay  replayCommand  `cmd:"" help:"Play recorded traffic, faster or slower, against any server."`
	Report  reportCommand  `cmd:"" help:"Report a recorded run again."`
	Unit    unitCommand    `cmd:"" help:"Measure what one small write costs on this machine, the unit of other costs."`
}

type benchCommand struct {
	Scenario string `arg:"" help:"fanout, many, chat, presence, analytics, idle, connect, ingress, echo, herd, slow, or a file ending in .yaml."`

	targetFlags

	Subscribers *int              `placeholder:"N" help:"Connections in all, spread evenly over the channels."`
	Channels    *int              `placeholder:"N" help:"Channels in all."`
	Payload     *units.Size       `placeholder:"SIZE" help:"Size of one message's data, from 64B."`
	Rate        *float64          `placeholder:"N" help:"Messages published a second, in all; each reaches all subscribers of its channel. Of the connect scenario: connections a second."`
	Duration    *time.Duration    `placeholder:"TIME" help:"Length of the measurement; stages are stretched to it."`
	Warmup      *time.Duration    `placeholder:"TIME" help:"Load before the measurement. Default: 1s."`
	Publishers  *int              `placeholder:"N" help:"Connections that publish."`
	Batch       *int              `placeholder:"N" help:"Messages that are due together and leave in one request."`
	Pipeline    *int              `placeholder:"N" help:"Requests under way on one publisher's connection. Default: 1."`
	Checked     *scenario.Checked `placeholder:"N" help:"Connections that are checked message by message: auto, all, share (5 % of each channel, at least 50) or a number. Default: auto, which is all up to 100,000 deliveries/s and share beyond."`
	Prefix      string            `placeholder:"TEXT" help:"Channels are called this and a number. Default: bench:."`
	Stage       []string          `sep:"none" placeholder:"TIME:N" help:"A stage of this length at N messages a second, in the place of --rate, --duration and the scenario's stages; may be repeated. TIME:N:ramp grows evenly from the stage before. N is connections a second with connect, connections that there are with idle, and messages or connections under way with --closed or --think."`
	Think       *time.Duration    `placeholder:"TIME" help:"Think time: each publisher sends its next request so long after the response to its last, instead of a rate."`
	Closed      bool              `help:"Closed loop: the next message waits for those before. For ceilings; latency means little."`
	Inflight    *int              `placeholder:"N" help:"Closed loop: messages, or connections, under way. Default: 256."`

	FindMax bool          `name:"find-max" help:"Search the highest rate that loses nothing and holds --p99."`
	P99     time.Duration `name:"p99" default:"100ms" placeholder:"TIME" help:"Latency that --find-max holds. Default: 100ms."`
	Probe   time.Duration `default:"3s" placeholder:"TIME" help:"Length of one try of --find-max. Default: 3s."`

	PID     []int  `name:"pid" placeholder:"PID" help:"Processes of the target, to sample their CPU and memory. Default: the process that listens on its port."`
	Metrics string `placeholder:"URL" help:"The target's Prometheus metrics, for its CPU and memory, such as http://127.0.0.1:9090/metrics."`
	Out     string `placeholder:"FILE" help:"Keep the raw results, for weir bench report and compare."`
	outputs
	agentFlags
}

// Help is the detailed help of the command.
func (*benchCommand) Help() string {
	var b strings.Builder
	for _, s := range scenario.Presets() {
		fmt.Fprintf(&b, "  %-10s %s\n", s.Name, s.About)
	}
	return "Measures a relay in an open loop: messages are due at fixed times, and latency counts from then. " +
		"Flags change the scenario.\n\n" + b.String() + "\n" +
		"Exits with 0 for a valid run, 1 when a --fail-if holds, 2 for wrong usage, and 3 when the run is NOT VALID: it has not measured " +
		"what it was asked to (nobody listened, over 1 % of the messages were not published, the target went away, the run was " +
		"interrupted, the load generator was too busy), so nothing passes, whatever --fail-if says."
}

// Run runs the scenario and reports it.
func (c *benchCommand) Run(p *program) error {
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	return c.measured(p, cfg, c.Out, c.measure)
}

// measured measures, keeps what came of it, and reports it.
func (o outputs) measured(p *program, cfg loadtest.Config, out string, measure func(context.Context, *program, loadtest.Config) (*record.Record, error)) error {
	limits, err := o.limits(cfg.Scenario)
	if err != nil {
		return err
	}
	if err := o.writable(out); err != nil {
		return err
	}
	screen := loadtest.NewScreen(p.stderr, terminal(p.stderr) && p.getenv("TERM") != "dumb")
	cfg.Progress = screen.Show
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rec, err := measure(ctx, p, cfg)
	screen.Clear()
	if err != nil {
		return benchError(err)
	}
	if out != "" {
		if err := rec.WriteFile(out); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	res := report.New(rec)
	if err := o.write(p.stdout, res, limits); err != nil {
		return err
	}
	return verdict(res, limits)
}

func (c *benchCommand) measure(ctx context.Context, p *program, cfg loadtest.Config) (*record.Record, error) {
	if len(c.Agents) > 0 {
		return c.together(ctx, p, cfg)
	}
	if c.FindMax {
		return loadtest.FindMax(ctx, cfg, loadtest.Goal{P99: c.P99, Probe: c.Probe})
	}
	return loadtest.Run(ctx, cfg)
}

// benchError returns a usage error for what the user can mend, and err for what went wrong.
func benchError(err error) error {
	var wrong *usageError
	switch {
	case errors.As(err, &wrong):
		return err
	case errors.Is(err, context.Canceled):
		return &invalidError{errors.New("bench: NOT VALID: interrupted before anything was measured")}
	}
	err = fmt.Errorf("bench: %w", err)
	for _, kind := range []error{loadtest.ErrSetup, protocol.ErrInvalid, scenario.ErrInvalid, target.ErrTarget, report.ErrFile, os.ErrNotExist} {
		if errors.Is(err, kind) {
			return &usageError{err}
		}
	}
	return err
}

// commandLine is what was typed, for the report, without what must stay secret.
func commandLine(args []string) string {
	shown := []string{"weir"}
	hide := false
	for _, arg := range args[min(1, len(args)):] {
		name, _, given := strings.Cut(arg, "=")
		secret := slices.Contains([]string{"--token", "--secret", "--key", "--header", "--cookie", "--publish-header", "--agent-secret"}, name)
		switch {
		case hide:
			arg = "..."
		case secret && given:
			arg = name + "=..."
		}
		hide = secret && !given
		shown = append(shown, arg)
	}
	return strings.Join(shown, " ")
}

// terminal reports whether w is a terminal that lines can be drawn over in.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
