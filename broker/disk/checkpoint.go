package disk

import (
	"fmt"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"
)

// checkpoint puts batches into the database, until the journal is closed; then what is left.
func (j *Journal) checkpoint() {
	defer j.done.Done()
	due, sweep := time.NewTimer(time.Hour), time.NewTimer(j.config.Sweep)
	defer due.Stop()
	defer sweep.Stop()
	due.Stop()
	armed := false
	var held []*batch // that a checkpoint failed with; tried again before all others
	var place []byte  // where the sweep goes on
	for {
		select {
		case <-j.hand:
			if backlog := j.waiting(); backlog < j.config.Checkpoint || held != nil {
				if backlog > 0 && !armed {
					due.Reset(j.config.Interval)
					armed = true
				}
				continue
			}
		case <-due.C:
		case <-sweep.C:
			place = j.sweep(place)
			sweep.Reset(j.config.Sweep)
			continue
		case <-j.committed:
			j.last(append(held, j.grab()...))
			return
		}
		armed = false
		due.Stop()
		held = append(held, j.grab()...)
		if err := j.store(held, false); err != nil {
			j.spoil(err)
			due.Reset(longestPause)
			armed = true
			continue
		}
		held = nil
	}
}

func (j *Journal) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.backlog
}

// grab takes the batches that are safe.
func (j *Journal) grab() []*batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := j.ready
	j.ready = nil
	return list
}

// store puts batches into the database and forgets them.
func (j *Journal) store(list []*batch, clean bool) error {
	if len(list) == 0 && !clean {
		return nil
	}
	d, bytes, number := make(deltas), 0, j.stats.stored.Load()
	for _, b := range list {
		if err := d.add(b.frame[frameHeader:], j.config.Policy); err != nil {
			return err
		}
		bytes += len(b.frame)
		number = b.number
	}
	err := guard(func() error {
		return j.db.Update(func(tx *bolt.Tx) error {
			if err := newWriter(tx, j.generation, j.now()).apply(d); err != nil {
				return err
			}
			return writeState(tx, state{number, j.generation, clean})
		})
	})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	j.stats.stored.Store(number)
	j.stats.checkpoints.Add(1)
	j.mu.Lock()
	j.backlog -= bytes
	healed := j.broken != nil
	j.broken = nil
	for name := range d {
		if j.marks[name].number <= number {
			delete(j.marks, name)
		}
	}
	j.mu.Unlock()
	if healed {
		j.config.Log.Info("the database is written again")
	}
	j.relieve()
	return nil
}

// relieve has the committer look whether it may go on.
func (j *Journal) relieve() {
	select {
	case j.relief <- struct{}{}:
	default: // it is about to look anyway
	}
}

// spoil notes that a checkpoint failed.
func (j *Journal) spoil(err error) {
	j.stats.failures.Add(1)
	j.mu.Lock()
	first := j.broken == nil
	j.broken = err
	j.mu.Unlock()
	if first {
		j.config.Log.Error("the database can not be written; the log goes on", slog.String("error", err.Error()))
	}
	j.relieve()
}

// last puts in what is left. If all that was taken is in the database then, it says so there.
func (j *Journal) last(list []*batch) {
	j.mu.Lock()
	clean := j.left == nil
	j.mu.Unlock()
	if err := j.store(list, clean); err != nil && clean {
		j.mu.Lock()
		j.left = err // it is safe in the log
		j.mu.Unlock()
	}
}
