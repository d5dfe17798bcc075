package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"weir/internal/units"
	"weir/loadtest"
	"weir/loadtest/record"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
	"weir/relay/auth"
)

// benchCommands is the load tester: a scenario's name follows weir bench directly.
type benchCommands struct {
	Run     benchCommand   `cmd:"" default:"withargs" help:"Run a scenario."`
	Compare compareCommand `cmd:"" help:"Compare runs side by side."`
	Report  reportCommand  `cmd:"" help:"Report a recorded run again."`
	Unit    unitCommand    `cmd:"" help:"Measure what one small write costs on this machine, the unit of other costs."`
}

type benchCommand struct {
	Scenario string `arg:"" help:"fanout, many, chat, presence, analytics, idle, connect, ingress, herd, slow, or a file ending in .yaml."`

	Target    string `default:"weir" placeholder:"KIND" help:"weir, centrifugo, pusher, nchan, sse or ws. Default: weir."`
	URL       string `name:"url" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Where the target is. Default: http://127.0.0.1:8080. {channel} in it stands for a channel (nchan, sse, ws)."`
	Publish   string `name:"publish-url" placeholder:"URL" help:"Where to publish, when that is elsewhere."`
	Transport string `enum:"ws,sse,ws-whole,sse-whole" default:"ws" placeholder:"ws|sse" help:"What weir's subscribers use. With -whole they do not ask for the short form of batches. Default: ws."`
	Own       bool   `name:"i-own-this-target" help:"Load a target on another machine. It must be yours."`
	Key       string `placeholder:"KEY" help:"What publishers authenticate with. Default for weir: dev. For pusher: app:key:secret."`
	Token     string `xor:"token" placeholder:"TOKEN" help:"Token of all subscribers. They are one user then, whose connections a relay may limit."`
	Secret    string `xor:"token" placeholder:"SECRET" help:"Make each subscriber a token with this HS256 secret. Default: that of weir serve --dev, for a weir on this machine; or $$WEIR_AUTH_SECRET."`

	Subscribers *int              `placeholder:"N" help:"Connections in all, spread evenly over the channels."`
	Channels    *int              `placeholder:"N" help:"Channels in all."`
	Payload     *units.Size       `placeholder:"SIZE" help:"Size of one message's data, from 64B."`
	Rate        *float64          `placeholder:"N" help:"Messages published a second, in all; each reaches all subscribers of its channel. Of the connect scenario: connections a second."`
	Duration    *time.Duration    `placeholder:"TIME" help:"Length of the measurement; stages are stretched to it."`
	Warmup      *time.Duration    `placeholder:"TIME" help:"Load before the measurement. Default: 1s."`
	Publishers  *int              `placeholder:"N" help:"Connections that publish."`
	Batch       *int              `placeholder:"N" help:"Messages that are due together and leave in one request."`
	Pipeline    *int              `placeholder:"N" help:"Requests under way on one publisher's connection. Default: 1."`
	Checked     *scenario.Checked `placeholder:"N" help:"Connections checked message by message: auto, all, share (5 % of each channel, at least 50) or a number. Default: auto, which is all up to 100,000 deliveries/s and share beyond."`
	Prefix      string            `placeholder:"TEXT" help:"Channels are called this and a number. Default: bench:."`
	Closed      bool              `help:"Closed loop: the next message waits for those before. For ceilings; latency means little."`
	Inflight    *int              `placeholder:"N" help:"Closed loop: messages, or connections, under way. Default: 256."`

	FindMax bool          `name:"find-max" help:"Search the highest rate that loses nothing and holds --p99."`
	P99     time.Duration `name:"p99" default:"100ms" placeholder:"TIME" help:"Latency that --find-max holds. Default: 100ms."`
	Probe   time.Duration `default:"3s" placeholder:"TIME" help:"Length of one try of --find-max. Default: 3s."`

	PID     []int    `name:"pid" placeholder:"PID" help:"Processes of the target, to sample their CPU and memory. Default: the process that listens on its port."`
	Metrics string   `placeholder:"URL" help:"The target's Prometheus metrics, for the same, such as http://127.0.0.1:9090/metrics."`
	Out     string   `placeholder:"FILE" help:"Keep the raw results, for weir bench report and compare."`
	JSON    bool     `name:"json" help:"Print the report as JSON."`
	HTML    string   `name:"html" placeholder:"FILE" help:"Write the report as a page with plots."`
	FailIf  []string `name:"fail-if" sep:"none" placeholder:"CONDITION" help:"Exit with 1 when the condition holds, such as p99>60ms or lost>0; may be repeated. A number that is not known counts as if it held."`
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
	var limits []report.Threshold
	for _, text := range c.FailIf {
		t, err := report.ParseThreshold(text)
		if err != nil {
			return wrongf("bench: --fail-if %w", err)
		}
		limits = append(limits, t)
	}
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	for _, name := range []string{c.Out, c.HTML} {
		if err := writable(name); err != nil {
			return wrongf("bench: %w", err)
		}
	}
	screen := loadtest.NewScreen(p.stderr, terminal(p.stderr) && p.getenv("TERM") != "dumb")
	cfg.Progress = screen.Show
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rec, err := c.measure(ctx, cfg)
	screen.Clear()
	if err != nil {
		return benchError(err)
	}
	if c.Out != "" {
		if err := rec.WriteFile(c.Out); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	res := report.New(rec)
	if err := (outputs{c.JSON, c.HTML}).write(p.stdout, res); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	var failed []error
	for _, why := range res.InvalidBecause {
		failed = append(failed, &invalidError{fmt.Errorf("bench: NOT VALID: %s", why)})
	}
	for _, t := range limits {
		if bad, words := t.Failed(res); bad {
			failed = append(failed, fmt.Errorf("bench: failed by %s", words))
		}
	}
	return errors.Join(failed...)
}

func (c *benchCommand) measure(ctx context.Context, cfg loadtest.Config) (*record.Record, error) {
	if c.FindMax {
		return loadtest.FindMax(ctx, cfg, loadtest.Goal{P99: c.P99, Probe: c.Probe})
	}
	return loadtest.Run(ctx, cfg)
}

// benchError returns a usage error for what the user can mend, and err for what went wrong.
func benchError(err error) error {
	if errors.Is(err, context.Canceled) {
		return &invalidError{errors.New("bench: NOT VALID: interrupted before anything was measured")}
	}
	err = fmt.Errorf("bench: %w", err)
	for _, kind := range []error{loadtest.ErrSetup, scenario.ErrInvalid, target.ErrTarget, report.ErrFile, os.ErrNotExist} {
		if errors.Is(err, kind) {
			return &usageError{err}
		}
	}
	return err
}

// config is the load test that the flags ask for.
func (c *benchCommand) config(p *program) (loadtest.Config, error) {
	s, err := scenario.Find(c.Scenario)
	if err != nil {
		return loadtest.Config{}, benchError(err)
	}
	if err := c.nothing(); err != nil {
		return loadtest.Config{}, err
	}
	c.change(&s)
	cfg := loadtest.Config{
		Scenario: s, Unit: true, Own: c.Own, PIDs: c.PID, Metrics: c.Metrics, Command: commandLine(os.Args),
		Target: target.Options{Name: c.Target, URL: c.URL, Publish: c.Publish, Key: c.Key, Transport: c.Transport},
	}
	if c.Target == "weir" {
		cfg.Target.System = s.System
	} else {
		cfg.Target.Transport = ""
	}
	_, at, _, err := target.New(cfg.Target)
	if err != nil {
		return cfg, benchError(err)
	}
	cfg.FindPID = at.Loopback()
	secret := cmp.Or(c.Secret, p.getenv("WEIR_AUTH_SECRET"))
	if secret == "" && c.Target == "weir" && at.Loopback() {
		secret = auth.DevSecret
	}
	switch {
	case c.Token != "":
		cfg.Token = func(string) (string, error) { return c.Token, nil }
	case secret != "":
		cfg.Token = minter(secret, s)
	}
	return cfg, nil
}

// nothing refuses a 0 where it would be taken for what was left out, and the default be measured in its place.
func (c *benchCommand) nothing() error {
	for _, f := range []struct {
		flag string
		zero bool
	}{
		{"duration", c.Duration != nil && *c.Duration <= 0}, {"channels", is0(c.Channels)}, {"payload", is0(c.Payload)}, {"publishers", is0(c.Publishers)},
		{"batch", is0(c.Batch)}, {"pipeline", is0(c.Pipeline)}, {"inflight", is0(c.Inflight)}, {"probe", c.Probe <= 0}, {"p99", c.P99 <= 0},
	} {
		if f.zero {
			return wrongf("bench: --%s: expected more than 0", f.flag)
		}
	}
	return nil
}

func is0[T comparable](v *T) bool { return v != nil && *v == *new(T) }

// minter makes tokens that may do what the scenario does.
func minter(secret string, s scenario.Scenario) func(string) (string, error) {
	s.Prefix = cmp.Or(s.Prefix, "bench:")
	may := []string{"subscribe", "publish", "history", "presence"}
	claims := auth.Claims{Roles: []string{"admin"}, TTL: 24 * time.Hour, Channels: map[string][]string{s.Prefix + "*": may, "presence:" + s.Prefix + "*": may}}
	return func(user string) (string, error) {
		claims := claims
		claims.Sub = user
		return auth.Mint(secret, "", claims)
	}
}

// change applies the flags to a scenario.
func (c *benchCommand) change(s *scenario.Scenario) {
	set(&s.Subscribers, c.Subscribers)
	set(&s.Channels, c.Channels)
	set(&s.Payload, c.Payload)
	set(&s.Warmup, c.Warmup)
	set(&s.Publishers, c.Publishers)
	set(&s.Batch, c.Batch)
	set(&s.Pipeline, c.Pipeline)
	set(&s.Checked, c.Checked)
	set(&s.Inflight, c.Inflight)
	if s.Warmup == 0 && c.Warmup != nil {
		s.Warmup = -1 // none was asked for
	}
	if c.Prefix != "" {
		s.Prefix = c.Prefix
	}
	s.Closed = s.Closed || c.Closed
	if c.FindMax && c.Rate == nil && len(s.Stages) == 0 {
		s.Rate = 0 // the search begins low by itself
	}
	if len(s.Stages) == 0 {
		set(&s.Rate, c.Rate)
		set(&s.Duration, c.Duration)
		return
	}
	total := time.Duration(0)
	for i := range s.Stages {
		set(&s.Stages[i].Rate, c.Rate)
		total += s.Stages[i].Duration
	}
	if c.Duration != nil && total > 0 {
		for i := range s.Stages {
			s.Stages[i].Duration = time.Duration(float64(s.Stages[i].Duration) * float64(*c.Duration) / float64(total))
		}
	}
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// outputs are the forms a report is wanted in.
type outputs struct {
	json bool
	html string
}

// write writes the report; it is printed as text unless JSON is wanted.
func (o outputs) write(w io.Writer, res *report.Result) error {
	if o.html != "" {
		if err := writePage(o.html, res); err != nil {
			return err
		}
	}
	if o.json {
		return res.JSON(w)
	}
	return res.Text(w)
}

// writable returns an error, before a run, if its results could not be kept.
func writable(name string) error {
	if name == "" {
		return nil
	}
	_, err := os.Stat(name)
	f, failed := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if failed != nil {
		return failed
	}
	if errors.Is(err, os.ErrNotExist) { // it was not there: nor is it if the run fails
		defer func() { _ = os.Remove(name) }()
	}
	return f.Close()
}

func writePage(name string, runs ...*report.Result) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(report.HTML(f, runs...), f.Close())
}

type compareCommand struct {
	Files []string `arg:"" help:"Two or more runs: JSON reports, or files of --out."`
	HTML  string   `name:"html" placeholder:"FILE" help:"Write the comparison as a page with plots."`
}

// Run prints the runs side by side, with ratios to the first.
func (c *compareCommand) Run(p *program) error {
	if len(c.Files) < 2 {
		return wrongf("bench compare: expected two or more files")
	}
	var runs []*report.Result
	for _, name := range c.Files {
		res, err := report.ReadFile(name)
		if err != nil {
			return benchError(err)
		}
		runs = append(runs, res)
	}
	if c.HTML != "" {
		if err := writePage(c.HTML, runs...); err != nil {
			return fmt.Errorf("bench compare: %w", err)
		}
	}
	return report.Compare(p.stdout, runs...)
}

type reportCommand struct {
	File string `arg:"" help:"A file of --out, or a JSON report."`
	JSON bool   `name:"json" help:"Print the report as JSON."`
	HTML string `name:"html" placeholder:"FILE" help:"Write the report as a page with plots."`
}

// Run reports a recorded run.
func (c *reportCommand) Run(p *program) error {
	res, err := report.ReadFile(c.File)
	if err != nil {
		return benchError(err)
	}
	return (outputs{c.JSON, c.HTML}).write(p.stdout, res)
}

type unitCommand struct {
	Runs int  `default:"15" placeholder:"N" help:"Short runs that the median is of. Default: 15."`
	JSON bool `name:"json" help:"Print the price as JSON."`
}

// Run measures and prints the price.
func (c *unitCommand) Run(p *program) error {
	if c.Runs < 1 {
		return wrongf("bench unit: --runs: expected more than 0")
	}
	price, err := loadtest.Unit(c.Runs)
	if err != nil {
		return benchError(err)
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(price)
	}
	_, err = fmt.Fprintln(p.stdout, price)
	return err
}

// commandLine is what was typed, for the report, without what must stay secret.
func commandLine(args []string) string {
	shown := []string{"weir"}
	hide := false
	for _, arg := range args[min(1, len(args)):] {
		name, _, given := strings.Cut(arg, "=")
		secret := name == "--token" || name == "--secret" || name == "--key"
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
