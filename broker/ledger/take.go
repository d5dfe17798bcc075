package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/broker"
	"weir/broker/record"
	"weir/internal/mesh"
)

// Claim is a partition to take, with its refs.
type Claim struct {
	Partition int
	Refs      []Ref // all that the table has, this process's own, which is the last one, too

	// Random text that the table has beside the generation. A channel that has never had anything begins in an epoch that is made of it, and so in the same one after it has moved, until a
	// process was lost that may have told of more. "": in an epoch of its own.
	Seed string
}

// Take reads what the shelf may lack of some partitions, seals the open refs of other processes, and serves the partitions from then on. The
// table must have the claims before: a later taker finds there where to read what is written from now on. One that is dropped meanwhile is not served, though it may be this process's again by then.
//
// Errors: those of the mesh, record.ErrCorrupt, ErrFormat. After an error no partition was taken.
func (l *Ledger) Take(ctx context.Context, claims []Claim) error {
	l.mu.Lock()
	w := l.writer
	l.mu.Unlock()
	if w == nil {
		return ErrNotTaken
	}
	type part struct{ from, to uint64 } // of a log that is read
	logs := make(map[int]*part)
	sealed := make(map[Ref]uint64)
	for _, c := range claims {
		if own := c.Refs[len(c.Refs)-1]; own.Session != w.session {
			return fmt.Errorf("take partition %d: %w", c.Partition, ErrNotTaken)
		}
		for _, r := range c.Refs[:len(c.Refs)-1] {
			to := r.To
			if to == 0 && r.Session == w.session { // it lost the partition, and nobody has sealed it
				if err := l.flush(ctx); err != nil {
					return err
				}
				to = w.safe.Load()
				sealed[Ref{Slot: r.Slot, Session: r.Session}] = to
			}
			if to == 0 {
				id := Ref{Slot: r.Slot, Session: r.Session}
				var err error
				if sealed[id] == 0 {
					if sealed[id], err = l.seal(ctx, w, r); err != nil {
						return fmt.Errorf("seal log %d: %w", r.Slot, err)
					}
				}
				to = sealed[id]
			}
			if r.From > to {
				continue
			}
			p := logs[r.Slot]
			if p == nil {
				p = &part{from: r.From, to: to}
				logs[r.Slot] = p
			}
			p.from, p.to = min(p.from, r.From), max(p.to, to)
		}
	}
	begun := make([]uint64, len(claims))
	l.mu.Lock()
	for i, c := range claims {
		l.drop(c.Partition)
		begun[i] = l.parts[c.Partition].drops
	}
	l.mu.Unlock()
	for slot, p := range logs {
		if err := l.read(ctx, slot, p.from, p.to, claims, sealed); err != nil {
			l.mu.Lock()
			for _, c := range claims {
				l.drop(c.Partition)
			}
			l.mu.Unlock()
			return fmt.Errorf("read log %d: %w", slot, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writer != w || l.closed {
		for _, c := range claims {
			l.drop(c.Partition)
		}
		return ErrNotTaken
	}
	for i, c := range claims {
		p := &l.parts[c.Partition]
		if p.drops != begun[i] { // and some of what was read of it
			l.drop(c.Partition)
			continue
		}
		p.own, p.seed = c.Refs[len(c.Refs)-1], c.Seed
		p.serves.Store(true)
	}
	for _, t := range l.tails { // of several logs
		slices.SortStableFunc(t.entries, func(a, b entry) int {
			switch {
			case a.place == b.place:
				return 0
			case a.after(b.place):
				return 1
			}
			return -1
		})
	}
	wake(l.hand)
	return nil
}

// seal ends a session in its log, unless another one has, and returns the number of what ended it.
func (l *Ledger) seal(ctx context.Context, w *writer, r Ref) (uint64, error) {
	log := l.config.Logs(r.Slot)
	from := r.From
	for {
		first, last, err := log.Bounds(ctx)
		if err != nil {
			return 0, err
		}
		if r.Slot == w.slot { // the own fence is there, and all before it
			last = max(last, w.safe.Load())
		}
		ended := uint64(0)
		err = log.Read(ctx, max(first, from), last, func(number uint64, _ time.Time, b []byte) error {
			m, err := readMessage(b)
			if err != nil {
				return fmt.Errorf("message %d: %w", number, err)
			}
			if m.kind == kindFence && m.session != r.Session && ended == 0 {
				ended = number
			}
			return nil
		})
		switch {
		case err != nil:
			return 0, err
		case ended > 0:
			return ended, nil
		case r.Slot == w.slot: // the session's own fence is gone
			return 0, fmt.Errorf("the beginning of this session is missing: %w", record.ErrCorrupt)
		}
		from = max(from, last+1)
		number, err := log.Append(ctx, fence(rand.Text()), last)
		switch {
		case err == nil:
			return number, nil
		case ctx.Err() != nil, errors.Is(err, mesh.ErrFull), errors.Is(err, mesh.ErrAbsent):
			return 0, err
		}
		select { // it may have been appended, or who has told the end lags behind: what stands there tells
		case <-ctx.Done():
		case <-time.After(shortestPause):
		}
	}
}

// read adds the records of a log, from one number to another, to the tails of their channels.
func (l *Ledger) read(ctx context.Context, slot int, from, to uint64, claims []Claim, sealed map[Ref]uint64) error {
	refs := make(map[int][]Ref)
	for _, c := range claims {
		for _, r := range c.Refs[:len(c.Refs)-1] {
			if r.Slot == slot {
				if r.To == 0 {
					r.To = sealed[Ref{Slot: r.Slot, Session: r.Session}]
				}
				refs[c.Partition] = append(refs[c.Partition], r)
			}
		}
	}
	session, frames, seal := "", uint64(0), uint32(0)
	return l.config.Logs(slot).Read(ctx, from, to, func(number uint64, _ time.Time, b []byte) error {
		m, err := readMessage(b)
		switch {
		case err != nil:
			return fmt.Errorf("message %d: %w", number, err)
		case m.kind == kindFence:
			session, frames, seal = m.session, 0, 0
			return nil
		case session != "" && m.session != session: // late, behind a fence
			return nil
		case session != "" && (m.frame.Number != frames+1 || m.frame.Before != seal):
			return fmt.Errorf("message %d: frame %d follows frame %d: %w", number, m.frame.Number, frames, record.ErrCorrupt)
		}
		session, frames, seal = m.session, m.frame.Number, m.frame.Seal
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.addRecords(m.frame.Records, func(p int) (Ref, bool) {
			for _, r := range refs[p] {
				if r.Session == m.session && number >= r.From && number <= r.To {
					return r, true
				}
			}
			return Ref{}, false
		}, number)
	})
}

// drop forgets what there is of a partition. Called with mu held.
func (l *Ledger) drop(p int) {
	l.parts[p].serves.Store(false)
	l.parts[p].own, l.parts[p].seed = Ref{}, ""
	l.parts[p].drops++
	l.reserved = 0 // what it has here may be needed by the next one, and is not known any more
	for channel, t := range l.tails {
		if t.partition == p {
			for _, e := range t.entries {
				l.backlog -= len(e.record)
			}
			delete(l.tails, channel)
		}
	}
}

// Drop gives up a partition that another process has taken.
func (l *Ledger) Drop(p int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(p)
}

// Give accepts no more changes of a partition, waits until those accepted are in the log, and returns the refs of the partition. refs are
// those that the table has. None of the returned refs is open, and those whose records the shelf has are gone. The ledger keeps the partition
// until Drop, so that Resume can serve it again.
//
// Errors: ErrFailing, ErrNotTaken, that of ctx. After an error the partition is served as before.
func (l *Ledger) Give(ctx context.Context, p int, refs []Ref) ([]Ref, error) {
	if !l.parts[p].serves.Swap(false) {
		return nil, ErrNotTaken
	}
	if err := l.flush(ctx); err != nil {
		l.resume(p)
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.writer
	if w == nil || l.parts[p].own.Session != w.session {
		return nil, ErrNotTaken
	}
	return l.narrow(p, refs, w.safe.Load()), nil
}

// flush waits until all that was taken is in the log. Errors: why it is not.
func (l *Ledger) flush(ctx context.Context) error {
	l.mu.Lock()
	var waits []broker.Receipt
	for _, b := range append([]*batch{l.flight}, l.pending...) {
		if b != nil {
			waits = append(waits, b.promise.Receipt(broker.Position{}))
		}
	}
	l.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w.Done:
			if _, err := w.Wait(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Unsafe reports whether something of a partition that was taken is not known to be in the log: it may come there yet, though the partition is not served any more.
func (l *Ledger) Unsafe(p int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for channel := range l.dirty {
		if l.config.Partition(channel) == p {
			return true
		}
	}
	return false
}

// resume serves a partition again after Give.
func (l *Ledger) resume(p int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.writer; w != nil && l.parts[p].own.Session == w.session && !l.closed {
		l.parts[p].serves.Store(true)
	}
}

// Position returns the number of the next message that this session may write to the log; 0 without a session.
func (l *Ledger) Position() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writer == nil {
		return 0
	}
	return l.writer.safe.Load() + 1
}

// Refs returns those of the refs of a partition that is served here whose records the shelf may lack. refs are those that the table has.
func (l *Ledger) Refs(p int, refs []Ref) []Ref {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.narrow(p, refs, 0)
}

// narrow leaves out the refs of which no record is needed. The own one is closed at to, or stays as it is with 0. Called with mu held.
func (l *Ledger) narrow(p int, refs []Ref, to uint64) (list []Ref) {
	oldest := make(map[uint64]uint64) // number of the oldest record by order
	for _, t := range l.tails {
		if t.partition != p {
			continue
		}
		for _, e := range t.entries {
			if n, ok := oldest[e.order]; !ok || e.number < n {
				oldest[e.order] = e.number
			}
		}
	}
	own := l.parts[p].own
	for _, r := range refs {
		from, needed := oldest[r.Order]
		switch {
		case r.Order > own.Order: // of who has taken it from here, which may not be known here yet
			list = append(list, r)
		case r.Order == own.Order && r.Session == own.Session && to == 0:
			list = append(list, r)
		case r.Order == own.Order && r.Session == own.Session && needed:
			r.From, r.To = max(r.From, from), to
			list = append(list, r)
		case r.Order != own.Order && needed:
			list = append(list, r)
		}
	}
	return list
}

// Purge has the checkpointer drop messages of this process's log that no partition needs and that are on the shelf. reserved returns the lowest
// number that refs in the table have of this log, apart from those of partitions that are served here; nothing from it on is dropped. It is
// called with the ledger locked.
func (l *Ledger) Purge(reserved func() uint64) {
	l.mu.Lock()
	l.reserved = reserved()
	l.mu.Unlock()
	wake(l.hand)
}
