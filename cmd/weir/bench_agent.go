package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"weir/loadtest"
	"weir/loadtest/agent"
	"weir/loadtest/protocol"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// agentFlags are about a test that several machines do.
type agentFlags struct {
	Agents []string `placeholder:"HOST:PORT,..." help:"Have these agents do the test together: each runs weir bench agent. The plan is split between them, and every delivery is accounted for."`
	Secret string   `name:"agent-secret" placeholder:"SECRET" help:"Secret that the agents and their conductor share. Default: $$WEIR_BENCH_SECRET."`
}

// secretLeast is how long the agents' secret is at least.
const secretLeast = 8

func (f *agentFlags) secret(p *program) (string, error) {
	secret := cmp.Or(f.Secret, p.getenv("WEIR_BENCH_SECRET"))
	if len(secret) < secretLeast {
		return "", wrongf("bench: agents: expected --agent-secret or $WEIR_BENCH_SECRET, of %d characters or more", secretLeast)
	}
	return secret, nil
}

type agentCommand struct {
	Listen string `default:"127.0.0.1:7070" placeholder:"ADDR" help:"Address for the conductor. Default: 127.0.0.1:7070."`
	Secret string `name:"agent-secret" placeholder:"SECRET" help:"Secret that the agents and their conductor share. Default: $$WEIR_BENCH_SECRET."`
}

// Help is the detailed help of the command.
func (*agentCommand) Help() string {
	return "Waits for weir bench SCENARIO --agents, and does its part of the test from this machine, until it is interrupted. " +
		"The secret and the test's tokens cross the network in the clear: use a network that you trust."
}

// Run serves until the process is told to end.
func (c *agentCommand) Run(p *program) error {
	secret, err := (&agentFlags{Secret: c.Secret}).secret(p)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return wrongf("bench agent: --listen: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parts := agent.NewServer(secret, func(spec []byte, s scenario.Scenario) (loadtest.Config, func(), error) { return p.part(spec, s) })
	if _, err := fmt.Fprintf(p.stdout, "waiting for a conductor on %s\n", l.Addr()); err != nil {
		return fmt.Errorf("bench agent: %w", err)
	}
	if err := parts.Serve(ctx, l); err != nil {
		return fmt.Errorf("bench agent: %w", err)
	}
	return nil
}

// agentSpec is what an agent has to know beside its part of the plan.
type agentSpec struct {
	Flags   targetFlags
	Metrics string             // of the target
	Target  *protocol.Protocol // what --target or the scenario file describes; nil
	Files   map[string][]byte  // those that flags and the target name
}

// files are the places where the flags and the target name a file.
func (s *agentSpec) files() []*string {
	list := []*string{&s.Flags.Tokens, &s.Flags.SignWith, &s.Flags.CA, &s.Flags.Rows}
	if s.Target != nil {
		list = append(list, &s.Target.CA, &s.Target.Rows)
	}
	return list
}

// together has agents do the test.
func (c *benchCommand) together(ctx context.Context, p *program, cfg loadtest.Config) (*record.Record, error) {
	secret, err := c.agentFlags.secret(p)
	if err != nil {
		return nil, err
	}
	if c.FindMax || c.PID != nil {
		return nil, wrongf("bench: --agents: expected no --find-max or --pid beside it")
	}
	for i, name := range c.Agents {
		if _, _, err := net.SplitHostPort(name); err != nil || slices.Contains(c.Agents[:i], name) {
			return nil, wrongf("bench: --agents %q: expected host:port, each agent once", name)
		}
	}
	spec, err := c.spec(p, cfg.Scenario)
	if err != nil {
		return nil, err
	}
	rec, err := agent.Run(ctx, agent.Config{Agents: c.Agents, Secret: secret, Scenario: cfg.Scenario, Spec: spec, Command: cfg.Command, Progress: cfg.Progress})
	if errors.Is(err, agent.ErrAgent) {
		return nil, &usageError{fmt.Errorf("bench: %w", err)}
	}
	return rec, err
}

// spec is what agents have to know.
func (c *benchCommand) spec(p *program, s scenario.Scenario) ([]byte, error) {
	spec := agentSpec{Flags: c.targetFlags, Metrics: c.Metrics, Files: map[string][]byte{}}
	described, err := c.section(s)
	if err != nil {
		return nil, err
	}
	if f := &spec.Flags; f.Token == "" && f.Tokens == "" && f.SignWith == "" {
		f.Secret = cmp.Or(f.Secret, p.getenv("WEIR_AUTH_SECRET"))
	}
	if described != nil { // it has all that flags say of it
		described.Use = cmp.Or(described.Use, spec.Flags.Target)
		f := spec.Flags
		spec.Target = described
		spec.Flags = targetFlags{
			URL: f.URL, Publish: f.Publish, Close: f.Close, Transport: f.Transport, Own: f.Own, Key: f.Key, Token: f.Token, Secret: f.Secret, Tokens: f.Tokens,
			SignWith: f.SignWith, KeyID: f.KeyID, Claims: f.Claims,
		}
		if slices.Contains(target.Names(), described.Use) { // spoken to in its own way, which takes these from flags
			spec.Flags.Header, spec.Flags.Cookie, spec.Flags.Origin, spec.Flags.Subprotocol = f.Header, f.Cookie, f.Origin, f.Subprotocol
		}
	}
	for i, name := range spec.files() {
		if *name == "" {
			continue
		}
		content, err := os.ReadFile(*name)
		if err != nil {
			return nil, wrongf("bench: %w", err)
		}
		stored := strconv.Itoa(i) + filepath.Ext(*name)
		spec.Files[stored], *name = content, stored
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return text, nil
}

// part makes the load test of an agent. done removes what was stored for it.
func (p *program) part(text []byte, s scenario.Scenario) (cfg loadtest.Config, done func(), err error) {
	var spec agentSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return cfg, nil, fmt.Errorf("the weir bench that sent the test is of another version: %w", err)
	}
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return cfg, nil, fmt.Errorf("keep the test's files: %w", err)
	}
	done = func() { _ = os.RemoveAll(dir) } // a temporary directory that is left does no harm
	for name, content := range spec.Files {
		if err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o600); err != nil {
			done()
			return cfg, nil, fmt.Errorf("keep the test's files: %w", err)
		}
	}
	for _, name := range spec.files() {
		if *name != "" {
			*name = filepath.Join(dir, filepath.Base(*name))
		}
	}
	s.Target = spec.Target
	if cfg, err = spec.Flags.config(p, s); err != nil {
		done()
		return cfg, nil, err
	}
	cfg.Metrics, cfg.FindPID = spec.Metrics, cfg.FindPID && spec.Metrics == ""
	cfg.Unit = false // it would be in the way of the others
	return cfg, done, nil
}
