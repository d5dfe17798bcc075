package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/broker"
	"weir/broker/record"
)

// The pauses between attempts to write a batch.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// commit writes batches until the journal is closed and nothing is pending. What comes while one is written makes up
// the next: the more publishers wait, the more share a sync. A panic is a failed attempt: those who wait get an error,
// nothing counts as written, and it is tried again.
func (j *Journal) commit() {
	idle := time.NewTimer(ledgerDelay)
	defer idle.Stop()
	for !j.commitOn(idle) {
	}
	j.config.Panic.Do("end of the log", j.wal.close)
	close(j.committed)
}

// commitOn writes what is pending, and waits for more. It reports whether the journal is closed and nothing is left.
func (j *Journal) commitOn(idle *time.Timer) (ended bool) {
	for b := j.take(); b != nil; b = j.take() {
		if err := j.write(b); err != nil {
			j.abandon(err)
			return true
		}
	}
	if !j.wal.ledger.settled() {
		idle.Reset(ledgerDelay)
	}
	select {
	case <-j.wake:
		return false
	case <-j.relief:
		j.wal.trim(j.stored.Load())
		return false
	case <-idle.C:
		if !j.wal.ledger.settled() {
			j.config.Panic.Do("ledger", j.wal.settle)
		}
		return false
	case <-j.stop:
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pending.empty() // nothing is taken after stop
}

// take makes the pending batch the one in flight, unless there is one, which a panic has left; nil: nothing is pending.
func (j *Journal) take() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.flight != nil {
		return j.flight
	}
	b := j.pending
	if b.empty() {
		return nil
	}
	j.flight, j.pending = b, newBatch(b.number+1, len(b.frame)+len(b.frame)/4)
	return b
}

// write makes a batch safe, however long that takes. An error means that the journal was closed.
func (j *Journal) write(b *batch) error {
	begun := time.Now()
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err := j.room()
		if err == nil {
			err = j.append(b)
		}
		if err == nil {
			break
		}
		j.note(err)
		j.disappoint(err)
		select {
		case <-time.After(pause):
			continue
		case <-j.stop:
		}
		if err := j.append(b); err != nil {
			return err
		}
		break
	}
	j.finish(b, time.Since(begun))
	return nil
}

// append appends a batch to the log. After a panic it is unknown how much was written: the batch then goes to another
// file, as after a failed sync.
func (j *Journal) append(b *batch) error {
	err := errPanic
	if !j.config.Panic.Do("commit", func() { err = j.wal.append(b.frame, b.number) }) {
		j.config.Panic.Do("committer's file", j.wal.leave)
	}
	return err
}

// errPanic is why a batch is not safe, or not in the database, that there was a panic over.
var errPanic = errors.New("internal error: see the log")

// finish passes a safe batch on.
func (j *Journal) finish(b *batch, took time.Duration) {
	j.note(nil)
	j.config.Panic.Do("note in the ledger", j.wal.note) // before the publishers get their receipts
	b.records, b.seal = b.frame[record.FrameHeader:], j.wal.last.seal
	j.mu.Lock()
	j.counts.Commits++
	j.counts.Bytes += uint64(len(b.frame))
	promise := b.promise // no publisher waits for it from here on
	j.flight = nil
	j.ready = append(j.ready, b)
	j.backlog += len(b.frame)
	j.mu.Unlock()
	for _, d := range b.deferred {
		j.config.Panic.Do("deferred change", d.Apply) // its channel is given up, and read back
	}
	b.deferred = nil
	promise.Settle(nil) // after that: what is acknowledged can be read
	wake(j.hand)
	j.config.Panic.Do("after a commit", func() {
		if j.config.Observe != nil {
			j.config.Observe(took)
		}
		j.wal.trim(j.stored.Load())
	})
}

// disappoint reports to all who wait, also for the next batch, that writing fails: what they published is tried again,
// but they do not wait for it. Called after note, so that no publisher comes after them.
func (j *Journal) disappoint(err error) {
	err = fmt.Errorf("%w: %w", ErrFailing, err)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts.Failures++
	for _, b := range []*batch{j.flight, j.pending} {
		b.promise.Settle(err)
		b.promise = broker.NewPromise()
	}
}

// note keeps why writing fails, and logs when that begins and ends.
func (j *Journal) note(err error) {
	j.mu.Lock()
	before := j.failing
	j.failing = err
	j.mu.Unlock()
	switch {
	case err != nil && before == nil:
		j.config.Log.Error("durable channels cannot be stored", slog.String("error", err.Error()))
	case err == nil && before != nil:
		j.config.Log.Info("durable channels can be stored again")
	}
}

// room waits while the checkpointer is too far behind. Errors: why it will not catch up now.
func (j *Journal) room() error {
	for {
		j.mu.Lock()
		full, broken := j.backlog > backlogs*j.config.Checkpoint, j.broken
		j.mu.Unlock()
		switch {
		case !full:
			return nil
		case broken != nil:
			return broken
		}
		select {
		case <-j.relief:
		case <-j.stop:
			return nil // the last checkpoint takes it all
		}
	}
}

// abandon gives up what cannot be written: the journal is closed.
func (j *Journal) abandon(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left = fmt.Errorf("%w: %w", ErrFailing, err)
	if j.flight != nil {
		j.flight.promise.Settle(j.left)
	}
	j.pending.promise.Settle(j.left)
}

// uncommitted is the end of a committer that does nothing but panic: what is pending is given up, and nothing is taken any
// more.
func (j *Journal) uncommitted() {
	j.note(errPanic)
	j.abandon(errPanic)
	j.config.Panic.Do("end of the log", j.wal.close)
	close(j.committed)
}
