package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/loadtest"
	"weir/loadtest/scenario"
)

// config is the load test that the flags ask for.
func (c *benchCommand) config(p *program) (loadtest.Config, error) {
	s, err := scenario.Find(c.Scenario)
	if err != nil {
		return loadtest.Config{}, benchError(err)
	}
	if err := c.nothing(); err != nil {
		return loadtest.Config{}, err
	}
	if err := c.change(&s); err != nil {
		return loadtest.Config{}, err
	}
	if err := c.useless(s); err != nil {
		return loadtest.Config{}, err
	}
	if err := c.empty(s); err != nil {
		return loadtest.Config{}, err
	}
	cfg, err := c.targetFlags.config(p, s)
	cfg.PIDs, cfg.Metrics = c.PID, c.Metrics
	cfg.FindPID = cfg.FindPID && len(c.PID) == 0 && c.Metrics == ""
	return cfg, err
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
	if c.Warmup != nil && *c.Warmup < 0 {
		return wrongf("bench: --warmup: expected 0, for none, or more")
	}
	return nil
}

// empty refuses a test that has nothing to measure: nobody would be connected, or nothing would be published.
func (c *benchCommand) empty(s scenario.Scenario) error {
	listens := s.Measure == scenario.Delivery || s.Measure == "" && len(s.Script) == 0
	opens := slices.ContainsFunc(s.Stages, func(st scenario.Stage) bool { return st.Open > 0 })
	switch {
	case s.Churn > 0:
	case s.Subscribers == 0 && (listens || s.Measure == scenario.Idle && !opens):
		return wrongf("bench: --subscribers: expected more than 0: without them the scenario has nothing to measure (ingress needs none)")
	case !s.Publishes() && !c.FindMax && s.Measure != scenario.Idle:
		return wrongf("bench: --rate: expected more than 0, or --closed or --think in its place")
	}
	return nil
}

// useless refuses a flag that would change nothing.
func (c *benchCommand) useless(s scenario.Scenario) error {
	for _, f := range []struct {
		flag, beside string
		useless      bool
	}{
		{"p99", "--find-max", c.P99 != defaultGoal && !c.FindMax}, {"probe", "--find-max", c.Probe != defaultProbe && !c.FindMax},
		{"inflight", "--closed", c.Inflight != nil && !s.Paced() && s.Measure != scenario.Connect && s.Churn == 0},
		{"agent-secret", "--agents", c.agentFlags.Secret != "" && len(c.Agents) == 0},
	} {
		if f.useless {
			return wrongf("bench: --%s: expected %s beside it", f.flag, f.beside)
		}
	}
	return nil
}

// What --p99 and --probe are if they are not given.
const (
	defaultGoal  = 100 * time.Millisecond
	defaultProbe = 3 * time.Second
)

func is0[T comparable](v *T) bool { return v != nil && *v == *new(T) }

// change applies the flags to a scenario.
func (c *benchCommand) change(s *scenario.Scenario) error {
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
	if c.Think != nil {
		s.Think = *c.Think
		if c.Rate == nil {
			s.Rate = 0
		}
	}
	if len(c.Stage) > 0 {
		return c.stages(s)
	}
	if c.FindMax && c.Rate == nil && len(s.Stages) == 0 {
		s.Rate = 0 // the search begins low by itself
	}
	if len(s.Stages) == 0 {
		set(&s.Rate, c.Rate)
		set(&s.Duration, c.Duration)
		return nil
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
	return nil
}

// stages puts those of the flags in the place of the scenario's.
func (c *benchCommand) stages(s *scenario.Scenario) error {
	if c.Rate != nil || c.Duration != nil || c.FindMax {
		return wrongf("bench: --stage: expected no --rate, --duration or --find-max beside it")
	}
	s.Rate, s.Duration, s.Stages = 0, 0, nil
	for _, text := range c.Stage {
		length, rest, _ := strings.Cut(text, ":")
		level, how, more := strings.Cut(rest, ":")
		d, err := time.ParseDuration(length)
		n, err2 := strconv.ParseFloat(level, 64)
		if err != nil || err2 != nil || d <= 0 || more && how != "ramp" {
			return wrongf("bench: --stage %q: expected TIME:N or TIME:N:ramp, such as 30s:500 or 1m:2000:ramp", text)
		}
		st := scenario.Stage{Duration: d, Ramp: more}
		switch {
		case s.Measure == scenario.Idle:
			st.Open = int(n)
		case s.Paced():
			st.Inflight = int(n)
		default:
			st.Rate = n
		}
		s.Stages = append(s.Stages, st)
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
