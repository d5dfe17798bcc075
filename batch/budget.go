package batch

import "time"

// Bounds of the budget. Credit lets a lone message go at once though its shard has just written
// something small; debt keeps one large pass from silencing eager flushes for longer than a window.
const (
	maxCredit = time.Millisecond
	maxDebt   = 50 * time.Millisecond
)

// budget limits eager writing: time spent writing is owed as rest, as far as the load asks for it.
type budget struct {
	share   float64       // of the time spent writing that is owed as rest, 0 to 1
	credit  time.Duration // negative: rest that is owed
	settled time.Time     // up to when credit is accounted
}

// allows reports whether nothing is owed.
func (g *budget) allows() bool { return g.credit > 0 }

// wait is how long from the last account until nothing is owed.
func (g *budget) wait() time.Duration { return max(-g.credit, 0) + time.Microsecond }

// rest adds the time since the last account to the credit.
func (g *budget) rest(now time.Time) {
	if d := now.Sub(g.settled); d > 0 {
		g.credit = min(g.credit+d, maxCredit)
		g.settled = now
	}
}

// spend accounts for writing that took d and ended at now.
func (g *budget) spend(d time.Duration, now time.Time) {
	g.rest(now.Add(-d))
	g.settled = now
	g.credit = max(g.credit-time.Duration(float64(d)*g.share), -maxDebt)
}
