package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/loadtest"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// ErrAgent means that an agent cannot be used: it is not there, has another secret, or is busy.
var ErrAgent = errors.New("cannot use an agent")

// Config is a test for several machines.
type Config struct {
	Agents   []string // addresses, host:port
	Secret   string
	Scenario scenario.Scenario
	Spec     []byte // what else the agents need to know
	Command  string
	Progress func(loadtest.Progress) // nil: nobody watches
}

// conductor is a test under way.
type conductor struct {
	Config
	http   *http.Client
	agents []*agent
}

// agent is a machine, as the conductor knows it.
type agent struct {
	name                string
	job                 job
	offset, uncertainty int64 // ns
	drift               int64
	state               status
	rec                 *record.Record
}

// How the conductor waits.
const (
	pollEvery  = 100 * time.Millisecond
	startAfter = 500 * time.Millisecond
	pings      = 16
	callMost   = 30 * time.Second // one request
)

// Run does the test and returns what all agents have recorded, as one. Errors: ErrAgent, scenario.ErrInvalid, those of
// loadtest.Run as an agent tells them, or the context's.
func Run(ctx context.Context, cfg Config) (*record.Record, error) {
	jobs, err := split(cfg.Scenario, len(cfg.Agents))
	if err != nil {
		return nil, err
	}
	c := &conductor{Config: cfg, http: &http.Client{Transport: &http.Transport{}}}
	defer c.http.CloseIdleConnections()
	for i, name := range cfg.Agents {
		jobs[i].Spec = cfg.Spec
		c.agents = append(c.agents, &agent{name: name, job: jobs[i]})
	}
	if err := c.each(ctx, c.measureClock); err != nil {
		return nil, err
	}
	err = c.conduct(ctx)
	if err != nil {
		c.stop()
		return nil, err
	}
	return c.merge()
}

func (c *conductor) conduct(ctx context.Context) error {
	if err := c.each(ctx, func(ctx context.Context, a *agent) error { return c.call(ctx, a, "POST", "/v1/part", a.job, nil) }); err != nil {
		return err
	}
	if err := c.reach(ctx, ready); err != nil {
		return err
	}
	at := time.Now().Add(startAfter).UnixNano()
	if err := c.each(ctx, func(ctx context.Context, a *agent) error {
		return c.call(ctx, a, "POST", "/v1/start", at+a.offset, nil)
	}); err != nil {
		return err
	}
	if err := c.reach(ctx, loaded); err != nil {
		return err
	}
	var all loadtest.Sent
	var mu sync.Mutex
	err := c.each(ctx, func(ctx context.Context, a *agent) error {
		var own loadtest.Sent
		if err := c.call(ctx, a, "GET", "/v1/sent", nil, &own); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return all.Add(own)
	})
	if err != nil {
		return err
	}
	if err := c.each(ctx, func(ctx context.Context, a *agent) error { return c.call(ctx, a, "POST", "/v1/sent", all, nil) }); err != nil {
		return err
	}
	if err := c.reach(ctx, over); err != nil {
		return err
	}
	return c.each(ctx, func(ctx context.Context, a *agent) error {
		before := a.offset
		if err := c.measureClock(ctx, a); err != nil {
			return err
		}
		a.offset, a.drift = before, a.offset-before
		return c.fetch(ctx, a)
	})
}

// each does something for every agent, at the same time, and returns the first error.
func (c *conductor) each(ctx context.Context, do func(context.Context, *agent) error) error {
	errs := make([]error, len(c.agents))
	var all sync.WaitGroup
	for i, a := range c.agents {
		all.Go(func() { errs[i] = do(ctx, a) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// reach waits until all agents have got so far, and tells how they are doing.
func (c *conductor) reach(ctx context.Context, state string) error {
	var shown loadtest.Progress
	ticks := time.NewTicker(pollEvery)
	defer ticks.Stop()
	for {
		if err := c.each(ctx, func(ctx context.Context, a *agent) error { return c.call(ctx, a, "GET", "/v1/part", nil, &a.state) }); err != nil {
			return err
		}
		there := true
		for _, a := range c.agents {
			if s := a.state; s.State == failed {
				err := fmt.Errorf("agent %s: %s", a.name, s.Error)
				if s.Usage {
					err = fmt.Errorf("%w: %w", loadtest.ErrSetup, errors.New(strings.TrimPrefix(err.Error(), loadtest.ErrSetup.Error()+": ")))
				}
				return err
			}
			there = there && a.state.State == state
		}
		if p := c.progress(); c.Progress != nil && p != shown && p.Want > 0 {
			c.Progress(p)
			shown = p
		}
		if there {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
	}
}

// progress is how all of them are doing.
func (c *conductor) progress() loadtest.Progress {
	sum := c.agents[0].state.Progress
	for _, a := range c.agents[1:] {
		p := a.state.Progress
		sum.Open, sum.Want, sum.Sent, sum.Trouble = sum.Open+p.Open, sum.Want+p.Want, sum.Sent+p.Sent, sum.Trouble+p.Trouble
		sum.Rate, sum.Deliveries, sum.ClientCPU = sum.Rate+p.Rate, sum.Deliveries+p.Deliveries, sum.ClientCPU+p.ClientCPU
		sum.P50, sum.P99, sum.At = max(sum.P50, p.P50), max(sum.P99, p.P99), min(sum.At, p.At)
	}
	return sum
}

// stop tells the agents to end.
func (c *conductor) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = c.each(ctx, func(ctx context.Context, a *agent) error { // those that do not hear it end by themselves
		_ = c.call(ctx, a, "DELETE", "/v1/part", nil, nil)
		return nil
	})
}

// measureClock measures how far an agent's clock is ahead: from the request and response that took the least time, of
// which each took no longer than both.
func (c *conductor) measureClock(ctx context.Context, a *agent) error {
	a.uncertainty = -1
	for range pings {
		var theirs int64
		sent := time.Now()
		if err := c.call(ctx, a, "GET", "/v1/clock", nil, &theirs); err != nil {
			return err
		}
		took := time.Since(sent)
		if most := int64(took / 2); a.uncertainty < 0 || most < a.uncertainty {
			a.uncertainty, a.offset = most, theirs-sent.UnixNano()-most
		}
	}
	return nil
}

// call sends a request to an agent.
func (c *conductor) call(ctx context.Context, a *agent, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callMost)
	defer cancel()
	resp, err := c.send(ctx, a, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if into != nil {
		err = json.NewDecoder(resp.Body).Decode(into)
	} else {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return fmt.Errorf("agent %s: %w: %w", a.name, ErrAgent, err)
	}
	return nil
}

func (c *conductor) send(ctx context.Context, a *agent, method, path string, body any) (*http.Response, error) {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+a.name+path, &text)
	if err != nil {
		return nil, fmt.Errorf("agent %q: expected host:port: %w", a.name, ErrAgent)
	}
	r.Header.Set("Authorization", "Bearer "+c.Secret)
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil, context.Canceled
		}
		return nil, fmt.Errorf("agent %s: %w: is weir bench agent running there? %w", a.name, ErrAgent, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	_ = resp.Body.Close() // nothing more is wanted of it
	return nil, fmt.Errorf("agent %s: %w: %s", a.name, ErrAgent, strings.TrimSpace(string(said)))
}

// fetch takes an agent's record.
func (c *conductor) fetch(ctx context.Context, a *agent) error {
	resp, err := c.send(ctx, a, "GET", "/v1/record", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if a.rec, err = record.Read(resp.Body); err != nil {
		return fmt.Errorf("agent %s: %w", a.name, err)
	}
	return nil
}
