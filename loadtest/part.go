package loadtest

import (
	"context"
	"fmt"
	"time"

	"weir/loadtest/target"
)

// Part is what one of several machines has of a load test. The scenario is that of the part.
type Part struct {
	Subscriber int // number of its first subscriber, among those of all
	Publisher  int // likewise
	Publishers int // of all parts

	// Ready is called when all its connections are there, and returns when the load begins.
	Ready func(ctx context.Context) (time.Time, error) `json:"-"`
	// Loaded is called when its load is over. It returns what all parts have sent, this one included.
	Loaded func(ctx context.Context, own Sent) (Sent, error) `json:"-"`
}

// Sent is what publishers have sent, by publisher and channel.
type Sent struct {
	Counts  [][]uint64 `json:"counts"`  // messages
	Excused [][]uint64 `json:"excused"` // of them refused or never answered
	Stamped uint64     `json:"stamped"` // messages accepted that subscribers have to account for
}

// Add adds what others have sent. Errors: it is of another shape.
func (s *Sent) Add(o Sent) error {
	if len(s.Counts) == 0 {
		*s = o
		return nil
	}
	if len(s.Counts) != len(o.Counts) || len(s.Excused) != len(o.Excused) {
		return fmt.Errorf("%d publishers, expected %d", len(o.Counts), len(s.Counts))
	}
	for _, t := range [][2][][]uint64{{s.Counts, o.Counts}, {s.Excused, o.Excused}} {
		for i := range t[0] {
			if len(t[0][i]) != len(t[1][i]) {
				return fmt.Errorf("%d channels, expected %d", len(t[1][i]), len(t[0][i]))
			}
			for ch := range t[0][i] {
				t[0][i][ch] += t[1][i][ch]
			}
		}
	}
	s.Stamped += o.Stamped
	return nil
}

// part is the configuration's, or that of a test that has no other.
func (e *engine) part() Part {
	if e.cfg.Part != nil {
		return *e.cfg.Part
	}
	return Part{Publishers: e.plan.Publishers}
}

// sharable refuses what cannot be done by several machines.
func (e *engine) sharable() error {
	if e.cfg.Part == nil {
		return nil
	}
	if _, ok := e.target.(target.Preparer); ok {
		return setupError("several machines: expected a scenario without a system whose channels have to be made first")
	}
	return nil
}

// ready waits for the other parts, and returns when the load begins, by the engine's clock.
func (e *engine) ready(ctx context.Context) (base int64, err error) {
	at, err := e.cfg.Part.Ready(ctx)
	if err != nil {
		return 0, err
	}
	return e.clock.now() + int64(time.Until(at)), nil
}

// share tells the other parts what was sent, and learns what they have. Before that, what is under way may be answered.
func (e *engine) share(ctx context.Context, t *trial) error {
	_, err := e.until(ctx, min(drainQuiet, t.plan.Drain), func() bool {
		c := e.tally.read()
		return c.answered >= c.sent
	}, func() uint64 { return e.tally.answered.Load() })
	if err != nil {
		return err
	}
	var own Sent
	e.on(e.publishers.l, func() {
		c := e.tally.read()
		own = Sent{Counts: copied(t.sent), Excused: copied(t.excused), Stamped: c.acked - t.before.acked - (c.typing - t.before.typing)}
	})
	all, err := e.cfg.Part.Loaded(ctx, own)
	if err != nil {
		return err
	}
	t.foreign = all.Stamped - min(all.Stamped, own.Stamped)
	e.on(e.publishers.l, func() {
		for i := range t.sent {
			if i < t.first || i >= t.first+t.plan.Publishers { // its own may still change
				t.sent[i], t.excused[i] = all.Counts[i], all.Excused[i]
			}
		}
	})
	return nil
}

func copied(table [][]uint64) (list [][]uint64) {
	for _, row := range table {
		list = append(list, append([]uint64(nil), row...))
	}
	return list
}
