package loadtest

import (
	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// churn is the connections that come and go: visitors of a channel, or nothing but handshakes when
// connecting is what is measured. One loop owns all of it.
type churn struct {
	e *engine
	l loop // set once

	// Owned by the loop.
	t     *trial
	next  uint64 // visitor that is due next
	busy  int    // connecting
	spare []*conn
	stay  []visitor // subscribed, by when they leave
	took  *record.Meter
}

type visitor struct {
	c      *conn
	leaves int64
}

func (v *churn) begin(t *trial) {
	v.t, v.next, v.took = t, 0, record.NewMeter(3)
}

// tick lets visitors leave and come as they are due.
func (v *churn) tick(now int64) (next int64) {
	for len(v.stay) > 0 && v.stay[0].leaves <= now {
		v.leave(v.stay[0].c)
		v.stay = v.stay[1:]
	}
	next = never
	if len(v.stay) > 0 {
		next = v.stay[0].leaves
	}
	if v.t == nil || v.t.stopped.Load() {
		return next
	}
	for range tickBurst {
		due, ok := v.due(now)
		switch {
		case !ok:
			v.load(loadDone)
			return next
		case due > now:
			v.load(loadWaits)
			return min(next, due)
		case v.t.crew != nil:
			if !v.t.crew.Begin(due - v.t.base) {
				v.load(loadBlocked)
				return next // one that has ended calls again
			}
			v.next++
			continue
		case v.busy >= v.t.plan.InflightAt(now-v.t.base):
			v.load(loadBlocked)
			return next // one that is through calls again
		}
		v.visit(due)
	}
	return now
}

// load notes how the timetable is doing, when it is the visitors'.
func (v *churn) load(state int32) {
	if v.t.plan.Measure == scenario.Connect || v.t.crew != nil && v.t.plan.Requests() > 0 {
		v.t.load.Store(state)
	}
}

// due is when the next visitor comes.
func (v *churn) due(now int64) (int64, bool) {
	p := v.t.plan
	switch {
	case p.Measure == scenario.Connect && p.Closed:
		return max(now, v.t.base), now < v.t.base+p.End
	case p.Measure == scenario.Connect || v.t.crew != nil:
		due, ok := p.Due(int64(v.next))
		return v.t.base + due, ok
	case p.Trace != nil:
		if int(v.next) >= len(p.Trace.Visits) {
			return 0, false
		}
		return v.t.base + p.Trace.Visits[v.next].Due, true
	case p.Churn > 0:
		due := int64(float64(v.next) / p.Churn * 1e9)
		return v.t.base + due, due < p.End
	}
	return 0, false
}

// visit opens the next connection.
func (v *churn) visit(due int64) {
	t := v.t
	c := &conn{e: v.e, l: v.l, owner: v, role: record.Counted}
	if n := len(v.spare); n > 0 {
		c, v.spare = v.spare[n-1], v.spare[:n-1]
	}
	n := v.next
	v.next++
	ch := int(n % uint64(len(v.e.names)))
	if t.plan.Trace != nil {
		ch = int(t.plan.Trace.Visits[n].Channel)
	}
	user, token := v.e.userAt(int(n % userPool))
	if t.plan.Presence {
		var err error
		user = t.visitorName(n, due-t.base)
		if token, err = v.e.token(user); err != nil {
			v.e.trouble("token: " + err.Error())
			return
		}
	}
	c.sub = target.Subscriber{Index: ch, User: user, Token: token, Channels: append(c.sub.Channels[:0], target.Followed{Name: v.e.names[ch], Number: ch})}
	v.busy++
	t.attempts++
	c.open(due)
}

func (v *churn) ready(c *conn) {
	now := v.e.clock.now()
	v.busy--
	v.e.tally.opened.Add(1)
	v.e.tally.open.Add(1)
	if v.t != nil && c.due >= v.t.base {
		v.took.Record(now - c.due)
		v.t.visits[c.sub.Index]++
		if v.t.measures(v.l) {
			v.t.meter.record(now-v.t.base, c.due-v.t.base, now-c.due)
		}
	}
	if v.e.plan.Measure == scenario.Connect {
		v.leave(c)
		return
	}
	v.stay = append(v.stay, visitor{c, now + int64(v.e.plan.Stay)})
}

// leave ends a visit.
func (v *churn) leave(c *conn) {
	if c.phase == listening {
		v.e.tally.open.Add(-1)
		c.drop()
		v.spare = append(v.spare, c)
	}
}

func (v *churn) lost(c *conn, was phase, err error) {
	if was == listening {
		v.e.tally.open.Add(-1)
		v.e.trouble("a visitor was lost: " + words(err))
		return
	}
	v.busy--
	v.e.tally.failed.Add(1)
	if v.t != nil {
		v.t.failed++
	}
	v.e.trouble("a visitor did not get in: " + words(err))
}
