package loadtest

import (
	"context"
	"sync/atomic"
	"time"

	"weir/internal/pause"
	"weir/loadtest/scenario"
	"weir/loadtest/unit"
)

// poll is how often a waiting test looks whether it may go on.
const poll = 10 * time.Millisecond

// until waits for done. progress is whatever grows meanwhile: when it does not grow for patience, until
// gives up and returns false. Errors: the context's, or the first failure of setup, explained.
func (e *engine) until(ctx context.Context, patience time.Duration, done func() bool, progress func() uint64) (bool, error) {
	ticks := time.NewTicker(poll)
	defer ticks.Stop()
	last, since := progress(), e.clock.now()
	shown := since
	for !done() {
		if now := e.clock.now(); e.settingUp.Load() && e.cfg.Progress != nil && now-shown > reportPeriod {
			shown = now
			e.cfg.Progress(Progress{Step: "connecting", Of: time.Duration(e.plan.End), Open: e.tally.open.Load(), Want: int64(e.plan.Connections()), ServerCPU: -1})
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case err := <-e.failed:
			return false, e.explain(err)
		case <-ticks.C:
		}
		if now := progress(); now != last {
			last, since = now, e.clock.now()
		} else if e.clock.now()-since > int64(patience) {
			return done(), nil
		}
	}
	return true, nil
}

// publishes reports whether the scenario publishes anything.
func (e *engine) publishes() bool {
	return e.plan.Measure != scenario.Connect && !e.scripted() && (e.plan.Paced() || e.plan.Requests() > 0)
}

// setup connects everything, and publishes once to see that the key is right.
func (e *engine) setup(ctx context.Context) (err error) {
	if e.usage, err = findUsage(ctx, &e.cfg, e.at); err != nil {
		return err
	}
	if e.cfg.Unit {
		e.priced()
	}
	e.idleBefore = e.memory(ctx)
	e.settingUp.Store(true)
	defer e.settingUp.Store(false)
	if err := e.connect(ctx); err != nil {
		return err
	}
	if !e.publishes() {
		return nil
	}
	want := e.plan.Publishers
	e.publishers.l.post(func() { e.publishers.connect(want) })
	if err := e.gather(ctx, "publishers got connected", want, &e.publishing, &e.publishing); err != nil {
		return err
	}
	return e.greet(ctx)
}

// unitRuns is how many runs the price of a write is the median of: short, so that a test does not begin much later.
const unitRuns = 5

// Unit measures the price of a small write on this machine as the median of so many short runs.
func Unit(runs int) (unit.Price, error) {
	if err := raiseDescriptors(2*unit.Sockets + 128); err != nil {
		return unit.Price{}, err
	}
	return unit.Measure(runs)
}

// priced measures the price of a small write. What prevents it is no reason not to test.
func (e *engine) priced() {
	p, err := Unit(unitRuns)
	if err != nil {
		e.unpriced = "the price of a small write is not known: " + err.Error()
		return
	}
	e.price = &p
}

// connect opens the subscribers' connections, all that are not open.
func (e *engine) connect(ctx context.Context) error {
	if e.plan.OpenAt(0) == 0 {
		return nil
	}
	e.fleet.connect(e.plan.OpenAt(0))
	return e.gather(ctx, "connections got subscribed", e.plan.OpenAt(0), &e.tally.open, &e.tally.opened)
}

// gather waits until there are as many as are wanted, as long as progress grows.
func (e *engine) gather(ctx context.Context, what string, want int, have, progress *atomic.Int64) error {
	ok, err := e.until(ctx, e.cfg.Setup, func() bool { return have.Load() >= int64(want) }, func() uint64 { return uint64(progress.Load()) })
	if err == nil && !ok {
		err = setupError("%s: %d of %d %s, and no more within %v", e.cfg.Target.URL, have.Load(), want, what, e.cfg.Setup)
	}
	return err
}

// Waits of a test between its phases.
const (
	settleTime = 200 * time.Millisecond // for targets that do not confirm a subscription
	quietTime  = 300 * time.Millisecond // nothing arrives for this long: the target is at rest
	quietMost  = 10 * time.Second
	drainQuiet = 2 * time.Second // nothing arrives for this long although something is missing: it is lost
)

// greet publishes one message that is not counted.
func (e *engine) greet(ctx context.Context) error {
	if e.traits.Settle {
		if err := pause.For(ctx, settleTime); err != nil {
			return err
		}
	}
	e.publishers.l.post(e.publishers.greet)
	timer := time.NewTimer(e.cfg.Setup)
	defer timer.Stop()
	select {
	case err := <-e.greeting:
		if err != nil {
			return e.explain(err)
		}
	case err := <-e.failed:
		return e.explain(err)
	case <-timer.C:
		return setupError("%s does not respond to a publish within %v", e.cfg.Target.URL, e.cfg.Setup)
	case <-ctx.Done():
		return ctx.Err()
	}
	return e.quiet(ctx)
}

// quiet waits until nothing arrives any more.
func (e *engine) quiet(ctx context.Context) error {
	limit := e.clock.now() + int64(quietMost)
	_, err := e.until(ctx, quietTime, func() bool { return e.clock.now() > limit }, e.tally.bytes.Load)
	return err
}

// memory is what the target holds after collecting garbage, as far as it can be asked to; 0 when it is
// not known.
func (e *engine) memory(ctx context.Context) int64 {
	if e.usage == nil {
		return 0
	}
	if e.cfg.Metrics != "" {
		collectGarbage(ctx, e.cfg.Metrics)
	}
	_, rss, err := e.usage()
	if err != nil {
		return 0
	}
	return rss
}
