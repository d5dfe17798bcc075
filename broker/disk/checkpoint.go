package disk

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker/record"
)

// checkpoint puts batches into the database, what was found at the start first, until the journal is closed;
// then what is left. A panic is a failed checkpoint: its batches stay in the log, and are tried again.
func (j *Journal) checkpoint() {
	due, sweep := time.NewTimer(0), time.NewTimer(j.config.Sweep)
	defer due.Stop()
	defer sweep.Stop()
	armed := true
	for {
		select {
		case <-j.hand:
			j.mu.Lock()
			backlog := j.backlog
			j.mu.Unlock()
			if backlog < j.config.Checkpoint || j.held != nil {
				if backlog > 0 && !armed {
					due.Reset(j.config.Interval)
					armed = true
				}
				continue
			}
		case <-due.C:
		case <-sweep.C:
			if j.held == nil {
				j.config.Panic.Do("sweep of what is stored", func() { j.place = j.sweep(j.place) })
			}
			sweep.Reset(j.config.Sweep)
			continue
		case <-j.committed:
			j.held = append(j.held, j.grab()...)
			if !j.config.Panic.Do("last checkpoint", func() { j.last(j.held) }) {
				j.unwritten()
			}
			return
		}
		armed = false
		due.Stop()
		j.held = append(j.held, j.grab()...)
		err := errPanic
		j.config.Panic.Do("checkpoint", func() { err = j.storeAll(j.held) })
		if err != nil {
			j.spoil(err)
			due.Reset(longestPause)
			armed = true
			continue
		}
		j.held = nil
	}
}

// grab takes the batches that are safe.
func (j *Journal) grab() []*batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := j.ready
	j.ready = nil
	return list
}

// storeAll puts what was found at the start and what came since into the database.
func (j *Journal) storeAll(list []*batch) error {
	if r := j.recovered; r != nil { // only the checkpointer writes it
		if err := j.store(r.batches, r.generation, false); err != nil {
			return err
		}
		j.mu.Lock()
		j.recovered = nil
		j.mu.Unlock()
	}
	if len(list) == 0 {
		return nil
	}
	return j.store(list, j.generation, false)
}

// store puts batches of a generation into the database and forgets them.
func (j *Journal) store(list []*batch, generation uint64, clean bool) error {
	begun, bytes, number := time.Now(), 0, j.stored.Load()
	for _, b := range list {
		bytes += len(b.frame)
		number = b.number
	}
	var w *writer
	var names []string
	err := j.db.renew(int64(j.config.renew))
	if err == nil {
		err = j.db.update(func(tx *bolt.Tx) error {
			s, _, err := readState(tx)
			if err != nil {
				return err
			}
			d, err := j.fresh(s.stored, list)
			if err != nil {
				return err
			}
			names = slices.Collect(maps.Keys(d))
			w = newWriter(tx, generation, j.now())
			if err := w.apply(d); err != nil {
				return err
			}
			if len(list) > 0 {
				s.stored, s.seal = number, list[len(list)-1].seal
			}
			s.generation, s.clean = j.generation, clean
			return writeState(tx, &s)
		})
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	j.stored.Store(number)
	j.markClean(names, number)
	j.mu.Lock()
	j.counts.Checkpoints++
	j.backlog -= bytes
	healed := j.broken != nil
	j.broken = nil
	j.mu.Unlock()
	j.markUnreadable(w.damaged)
	if healed {
		j.config.Log.Info("the database can be written again")
	}
	j.config.Log.Debug("checkpoint", slog.Int("bytes", bytes), slog.Int("channels", len(names)), slog.Duration("took", time.Since(begun)))
	j.db.relax()
	wake(j.relief) // the committer may go on, and needs fewer files
	return nil
}

// fresh gathers what of some batches the database, which has those up to stored, lacks: a batch whose checkpoint was
// reported as failed may be there all the same, and nothing must be put in twice.
func (j *Journal) fresh(stored uint64, list []*batch) (record.Deltas, error) {
	d, t := make(record.Deltas), turn{time.Now()}
	for _, b := range list {
		t.share()
		if b.number <= stored {
			continue
		}
		if err := d.Add(b.records, j.config.Policy); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// cleanStep is how many channels are marked clean at a time, so that publishers do not wait for all of them.
const cleanStep = 1000

// markClean notes that everything of some channels up to a batch is in the database.
func (j *Journal) markClean(names []string, number uint64) {
	for some := range slices.Chunk(names, cleanStep) {
		j.mu.Lock()
		for _, name := range some {
			if j.dirty[name].number <= number {
				delete(j.dirty, name)
			}
		}
		j.mu.Unlock()
	}
}

// markUnreadable refuses further changes of channels that cannot be kept, since what the database has of them is damaged.
func (j *Journal) markUnreadable(damaged map[string]error) {
	for name, err := range damaged {
		j.config.Log.Error("a stored channel is damaged and takes no more changes; delete it or restore a backup",
			slog.String("channel", name), slog.String("error", err.Error()))
		j.mu.Lock()
		j.counts.Damaged++
		j.unreadable[name] = err
		j.mu.Unlock()
	}
}

// spoil notes that a checkpoint failed.
func (j *Journal) spoil(err error) {
	j.mu.Lock()
	j.counts.Failures++
	first := j.broken == nil
	j.broken = err
	j.mu.Unlock()
	if first {
		j.config.Log.Error("the database cannot be written; changes stay in the log", slog.String("error", err.Error()))
	}
	wake(j.relief)
}

// unwritten notes that the last checkpoint came to nothing: what was taken is safe in the log.
func (j *Journal) unwritten() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.left == nil {
		j.left = fmt.Errorf("checkpoint: %w", errPanic)
	}
}

// last stores what is left. If that is all that was taken, the database is marked as clean, and the log is of no more
// use.
func (j *Journal) last(list []*batch) {
	j.mu.Lock()
	clean := j.left == nil
	j.mu.Unlock()
	err := j.storeAll(nil)
	if err == nil && (clean || len(list) > 0) {
		err = j.store(list, j.generation, clean)
	}
	switch {
	case err != nil && clean:
		j.mu.Lock()
		j.left = err // it is safe in the log
		j.mu.Unlock()
	case clean:
		j.wal.trim(math.MaxUint64) // the committer has ended; a file that stays does no harm
	}
}
