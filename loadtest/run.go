package loadtest

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// Run does one load test and returns its raw results. A cancelled context ends the load early and
// returns what there is, marked as not complete. Errors: ErrSetup, scenario.ErrInvalid,
// target.ErrTarget, or the context's when it was cancelled before the load began.
func Run(ctx context.Context, cfg Config) (*record.Record, error) {
	e, err := newEngine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer e.close()
	if err := e.setup(ctx); err != nil {
		return nil, err
	}
	return e.trial(ctx, e.plan, 1)
}

// trial runs one timetable over the connections.
func (e *engine) trial(ctx context.Context, plan *scenario.Plan, number int) (r *record.Record, err error) {
	t := newTrial(e, plan, number)
	err = e.prepareUsers(t)
	if err != nil {
		return nil, err
	}
	t.base = e.clock.now() + int64(50*time.Millisecond) + 2000*int64(plan.Subscribers)
	if e.cfg.Part != nil {
		if t.base, err = e.ready(ctx); err != nil {
			return nil, err
		}
	}
	e.begin(t)
	if t.crew != nil && plan.Requests() == 0 {
		t.crew.Everyone(0)
	}

	s := newSampler(e, t)
	before := readSpare()
	complete := e.conduct(ctx, t, s)
	full := readSpare().note(before)
	t.stopped.Store(true)
	if t.crew != nil {
		t.crew.Stop()
	}
	until := min(e.clock.now()-t.base, plan.End)
	if e.cfg.Part != nil {
		if err := e.share(ctx, t); err != nil {
			if t.crew != nil {
				t.crew.Wait()
			}
			e.on(t.meterLoop, func() { t.meter.finish() })
			s.finish(t)
			return nil, err
		}
	}
	drained := e.drain(ctx, t, s, complete)
	rss := e.memory(ctx)
	r = e.collect(t)
	r.Buckets = s.finish(t)
	for _, note := range []string{full, e.unpriced} {
		if note != "" {
			r.End.Messages = append(r.End.Messages, note)
		}
	}
	r.End.Complete, r.End.Drained = complete, drained
	if plan.Subscribers > 0 && rss > 0 {
		r.End.IdleRSS = [2]int64{e.idleBefore, rss}
	}
	r.End.PeakRSS, r.End.Hiccup = s.peak, s.hiccup.Keep()
	r.Header = e.header(t)
	r.Header.Until = until
	return r, nil
}

// begin starts the trial on every loop.
func (e *engine) begin(t *trial) {
	e.troubleOnce.Lock()
	e.troubles, e.troubleN, e.connects = nil, 0, record.NewMeter(3)
	e.troubleOnce.Unlock()
	for _, d := range e.fleet.docks {
		e.on(d.l, func() {
			if d.l == e.checked {
				e.readLag.Keep()
			}
			for _, c := range d.conns {
				c.begin(t)
			}
		})
	}
	e.on(e.churn.l, func() { e.churn.begin(t) })
	e.on(e.publishers.l, func() { e.publishers.begin(t) })
}

// conduct sees the load through: it takes samples, starts what stages start, and reports progress. It
// returns false when the context ended it.
func (e *engine) conduct(ctx context.Context, t *trial, s *sampler) (complete bool) {
	next, open := 0, t.plan.OpenAt(0)
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		now := e.clock.now() - t.base
		for next < len(t.plan.Steps) && t.plan.Steps[next].From <= now {
			e.enter(t.plan, next)
			next++
		}
		if more := t.plan.OpenAt(now); more > open {
			e.fleet.connect(more)
			open = more
		}
		s.sample(now)
		if t.over(now) {
			return true
		}
		until := s.due()
		if now < t.plan.End {
			until = min(until, t.plan.End)
		} else {
			until = min(until, now+int64(poll))
		}
		if next < len(t.plan.Steps) {
			until = min(until, t.plan.Steps[next].From)
		}
		wake.Reset(time.Duration(max(until-now, 0)))
		select {
		case <-ctx.Done():
			return false
		case <-wake.C:
		}
	}
}

// enter starts a stage.
func (e *engine) enter(p *scenario.Plan, i int) {
	if p.Steps[i].Herd {
		e.fleet.stampede()
	}
	if p.Steps[i].Slow > 0 {
		e.fleet.stall(p.Steps[i].Slow)
	}
}

// drain waits for what is still under way and says how long that took, in ns.
func (e *engine) drain(ctx context.Context, t *trial, s *sampler, complete bool) int64 {
	from := e.clock.now()
	most := t.plan.Drain
	if !complete { // the user wants to leave
		most, ctx = min(most, time.Second), context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	herd := int64(0)
	for _, s := range t.plan.Steps {
		if s.Herd {
			herd = int64(t.plan.Subscribers)
		}
	}
	done := func() bool {
		s.sample(e.clock.now() - t.base)
		c := e.tally.read()
		busy := 0
		e.on(e.churn.l, func() { busy = e.churn.busy })
		return busy == 0 && (t.crew == nil || t.crew.Working() == 0) && c.answered >= c.sent && t.expected() <= 0 && (herd == 0 || c.open >= herd)
	}
	// connections that are counted have arrived when the checked ones have, and nothing moves any more
	moved := func() uint64 {
		c := e.tally.read()
		return c.bytes + c.answered + c.opened
	}
	patience := min(drainQuiet, most)
	if t.crew != nil { // nothing moves while users sleep
		patience = most
	}
	all, err := e.until(ctx, patience, done, moved)
	took := e.clock.now() - from
	if all && err == nil && len(e.fleet.conns) > 0 {
		_ = e.quiet(ctx) // only the time limit can end it
	}
	return took
}

// collect freezes the trial and gathers what every loop knows of it.
func (e *engine) collect(t *trial) *record.Record {
	r := &record.Record{}
	p, v := e.publishers, e.churn
	if t.crew != nil {
		t.crew.Wait()
	}
	e.on(p.l, func() {
		r.End.Down = p.giveUp()
		t.frozen = true
		r.End.Resent = p.resent
		r.End.SendLag, r.End.Ack = p.sendLag.Keep(), p.ack.Keep()
		if t.plan.Measure != scenario.Connect && t.crew == nil && !t.plan.Paced() {
			r.End.Unsent = max(t.plan.Requests()-p.next, 0) * int64(t.plan.Batch)
		}
		for _, c := range p.conns {
			if p.echo() && !c.up {
				r.End.Gone++
			}
			if p.echo() && e.traits.Socket {
				r.Conns = append(r.Conns, c.result(t))
			}
		}
		p.t = nil
	})
	e.on(v.l, func() {
		r.End.Attempts, r.End.Failed = t.attempts, t.failed
		if (t.plan.Measure == scenario.Connect || t.crew != nil) && !t.plan.Closed {
			r.End.Unsent = max(t.plan.Requests()-int64(v.next), 0)
		}
		for _, n := range t.visits {
			r.End.Joined += n
		}
		e.troubleOnce.Lock()
		e.connects.Add(v.took.Keep())
		e.troubleOnce.Unlock()
		v.t = nil
	})
	for _, d := range e.fleet.docks {
		e.on(d.l, func() {
			for _, c := range d.conns {
				r.Conns = append(r.Conns, c.result(t))
				if c.phase != listening && !c.fate.stalled {
					r.End.Gone++
				}
			}
		})
	}
	e.on(e.checked, func() { r.End.ReadLag = e.readLag.Keep() })
	e.on(t.meterLoop, func() { r.End.Latency = t.meter.finish() })
	r.Channels = make([]record.Channel, t.plan.Channels)
	for from := range t.plan.Publishers {
		for ch, n := range t.sent[t.first+from] {
			r.Channels[ch].Sent += n
		}
	}
	for ch := range r.Channels {
		r.Channels[ch].Refused, r.Channels[ch].Unanswered = t.refused[ch], t.unanswered[ch]
	}
	if t.crew != nil {
		t.crew.Fill(r)
	}
	c := e.tally.read()
	r.End.Typing = c.typing - t.before.typing
	r.End.Resumed, r.End.Cut = e.fleet.resumed.Load(), e.fleet.cut.Load()
	if r.End.Resumed > 0 {
		r.End.ResumedIn = e.fleet.lastAt.Load() - e.fleet.cutAt.Load()
	}
	e.troubleOnce.Lock()
	defer e.troubleOnce.Unlock()
	r.End.Connect = e.connects.Keep()
	if t.plan.Presence {
		r.End.Connect = t.joined.Keep()
	}
	r.End.Messages = e.troubles
	return r
}

// header is what ran where.
func (e *engine) header(t *trial) record.Header {
	h := record.Header{
		Started: e.clock.at(t.base), Target: e.cfg.Target.Name, URL: e.cfg.Target.URL, Command: e.cfg.Command,
		Machine: fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Cores:   runtime.NumCPU(), Scenario: t.plan.Scenario, Interval: t.interval, Warm: t.plan.Warm,
		Socket: e.traits.Socket, Skimmed: e.skimmed(), Unit: e.price,
	}
	for _, s := range t.plan.Steps {
		h.Steps = append(h.Steps, record.Step{From: s.From, To: s.To, Rate: s.Rate, Warmup: s.Warmup, Slow: s.Slow, Herd: s.Herd})
	}
	return h
}
