package outbox

import (
	"context"
	"time"
)

// order knows which rows are settled: no row can appear any more that belongs before them. See the package's documentation.
type order struct {
	floor   int64 // all ids up to it are settled
	barrier *barrier
}

// barrier is what some rows wait for.
type barrier struct {
	upto  int64           // ids up to it are settled when the transactions have ended
	open  map[string]bool // of those that were open at first
	since time.Time
	pause time.Duration // until it is looked again
}

// The pauses between looks at transactions that are open: from the first, doubled, to the last.
const (
	firstLook = 2 * time.Millisecond
	lastLook  = 100 * time.Millisecond
)

// unknown is a floor below all ids.
const unknown = -1 << 62

// settled returns how many of the rows, which are in order, are settled. Ids without a gap are.
func (o *order) settled(rows []row) (n int) {
	for ; n < len(rows) && rows[n].id <= o.floor+1; n++ { // a smaller one was settled before
		o.floor = max(o.floor, rows[n].id)
	}
	if b := o.barrier; b != nil && o.floor >= b.upto {
		o.barrier = nil
	}
	return n
}

// look finds out whether ids up to this one are settled. It reports true if they have become so since they were read: they are to be read again,
// as there may be more of them. It is called with rows that are not settled, or with a barrier.
func (o *order) look(ctx context.Context, t *table, upto int64, now time.Time) (passed bool, err error) {
	open, prepared, err := t.writers(ctx)
	if err != nil {
		return false, err
	}
	b := o.barrier
	if b == nil {
		b = &barrier{upto: upto, open: open, since: now, pause: firstLook}
	} else {
		for name := range b.open {
			if !open[name] {
				delete(b.open, name)
			}
		}
	}
	if len(b.open) == 0 && (prepared == 0 || o.barrier == nil) {
		o.floor, o.barrier = max(o.floor, b.upto), nil
		return true, nil
	}
	if o.barrier != nil {
		b.pause = min(2*b.pause, lastLook)
	}
	o.barrier = b
	return false, nil
}
