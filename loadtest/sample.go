package loadtest

import (
	"context"
	"time"

	"weir/internal/process"
	"weir/loadtest/record"
)

// sampler takes a look at everything once an interval. It is owned by the goroutine that conducts the
// trial; what takes time, asking the target for its usage, has a goroutine of its own.
type sampler struct {
	e       *engine
	t       *trial
	rows    []record.Bucket
	at      int64 // next sample, ns since the load began
	last    counts
	lastCPU int64
	peak    int64
	hiccup  *record.Meter // owned by the hiccup goroutine until finish
	cancel  context.CancelFunc
	ended   chan struct{} // closed when both goroutines have left
	asked   chan struct{}
	spent   *gauge

	shownAt int64 // of the last progress report
	shown   counts
	shownMe int64
	shownIt int64
}

// hiccupPeriod is how often the client checks how late it wakes up.
const hiccupPeriod = 5 * time.Millisecond

// newSampler starts the sampling. finish ends its goroutines and waits for them.
func newSampler(e *engine, t *trial) *sampler {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sampler{
		e: e, t: t, last: t.before, shown: t.before, lastCPU: int64(process.CPUTime()), hiccup: record.NewMeter(3), cancel: cancel,
		ended: make(chan struct{}), asked: make(chan struct{}), spent: &gauge{},
	}
	s.shownMe = s.lastCPU
	s.spent.read(e.usage)
	s.shownIt, _ = s.spent.get()
	go s.ask(ctx)   // ended by finish, which waits
	go s.sleep(ctx) // likewise
	return s
}

// ask keeps the target's usage fresh.
func (s *sampler) ask(ctx context.Context) {
	defer close(s.asked)
	if s.e.usage == nil {
		return
	}
	ticks := time.NewTicker(time.Duration(s.t.interval))
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			s.spent.read(s.e.usage)
		}
	}
}

// sleep measures how late this process wakes up.
func (s *sampler) sleep(ctx context.Context) {
	defer close(s.ended)
	timer := time.NewTimer(hiccupPeriod)
	defer timer.Stop()
	due := s.e.clock.now() + int64(hiccupPeriod)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := s.e.clock.now()
		s.hiccup.Record(now - due)
		due = now + int64(hiccupPeriod)
		timer.Reset(hiccupPeriod)
	}
}

// due is when the next sample is due, ns since the load began.
func (s *sampler) due() int64 { return s.at + s.t.interval }

// sample takes the samples that are due.
func (s *sampler) sample(now int64) {
	if now < s.due() {
		return
	}
	c := s.e.tally.read()
	cpu := int64(process.CPUTime())
	server, rss := s.spent.take()
	end := now / s.t.interval * s.t.interval
	s.rows = append(s.rows, record.Bucket{
		At: s.at, Span: end - s.at, Bytes: c.bytes - s.last.bytes, Messages: c.messages - s.last.messages, Checked: c.checked - s.last.checked,
		Sent: c.sent - s.last.sent, Acked: c.acked - s.last.acked, Opened: c.opened - s.last.opened, Open: c.open,
		Client: cpu - s.lastCPU, Server: server, RSS: rss,
	})
	s.peak = max(s.peak, rss)
	s.last, s.lastCPU = c, cpu
	s.at = end
	s.report(now, c, cpu, rss)
}

// reportPeriod is how often progress is told.
const reportPeriod = int64(200 * time.Millisecond)

func (s *sampler) report(now int64, c counts, cpu, rss int64) {
	d := now - s.shownAt
	if s.e.cfg.Progress == nil || d < reportPeriod {
		return
	}
	per := func(n uint64) float64 { return float64(n) / float64(d) * 1e9 }
	total, _ := s.spent.get()
	p := Progress{
		At: time.Duration(min(max(now, 0), s.t.plan.End)), Of: time.Duration(s.t.plan.End), Step: s.t.plan.StepName(now),
		Open: c.open, Want: int64(s.t.plan.Connections()), Sent: c.sent - s.t.before.sent,
		Rate: per(c.sent - s.shown.sent), ServerCPU: -1, ClientCPU: float64(cpu-s.shownMe) / float64(d), ServerBytes: rss,
	}
	if rss > 0 {
		p.ServerCPU = float64(total-s.shownIt) / float64(d)
	}
	if seen := c.checked - s.shown.checked; seen > 0 { // all deliveries, by bytes
		p.Deliveries = per(c.messages-s.shown.messages) * float64(c.bytes-s.shown.bytes) / float64(seen)
	}
	if g := s.t.meter.recent.Load(); g != nil {
		p.P50, p.P99 = g.p50, g.p99
	}
	s.e.troubleOnce.Lock()
	p.Trouble = s.e.troubleN
	s.e.troubleOnce.Unlock()
	s.shownAt, s.shown, s.shownMe, s.shownIt = now, c, cpu, total
	s.e.cfg.Progress(p)
}

// finish ends the sampling and returns the intervals with their latencies. The meter must be finished.
func (s *sampler) finish(t *trial) []record.Bucket {
	s.cancel()
	<-s.ended
	<-s.asked
	s.at = max(s.at, 0)
	s.sample(max(s.e.clock.now()-t.base, s.due()))
	for i := range s.rows {
		// an interval may have been skipped when the client was busy: its latencies go to the one after
		from, to := s.rows[i].At/t.interval, int64(1<<62)
		if i+1 < len(s.rows) {
			to = s.rows[i+1].At / t.interval
		}
		var hs []record.Histogram
		for at, h := range t.meter.kept {
			if at >= from && at < to || i == 0 && at < from {
				hs = append(hs, h)
			}
		}
		if len(hs) == 1 {
			s.rows[i].Latency = hs[0]
		} else if len(hs) > 1 {
			s.rows[i].Latency = record.Merge(2, hs...).Keep()
		}
	}
	return s.rows
}
