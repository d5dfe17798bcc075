package disk

import (
	"fmt"
	"log/slog"
	"time"
)

// The pauses between attempts to write a batch.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// commit writes batches until the journal is closed and nothing is pending. What comes while one is
// written makes up the next: the more publishers wait, the more share a sync.
func (j *Journal) commit() {
	defer j.done.Done()
	defer close(j.committed)
	defer j.wal.close()
	idle := time.NewTimer(ledgerDelay)
	defer idle.Stop()
	for {
		for {
			b := j.take()
			if b == nil {
				break
			}
			if err := j.write(b); err != nil {
				j.abandon(err)
				return
			}
		}
		if !j.wal.ledger.settled() {
			idle.Reset(ledgerDelay)
		}
		select {
		case <-j.wake:
			continue
		case <-j.relief:
			j.wal.trim(j.stats.stored.Load())
			continue
		case <-idle.C:
			if !j.wal.ledger.settled() {
				j.wal.settle()
			}
			continue
		case <-j.stop:
		}
		if j.quiet() { // nothing is taken after stop
			return
		}
	}
}

func (j *Journal) quiet() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pending.empty()
}

// take makes the pending batch the one in flight; nil: nothing is pending.
func (j *Journal) take() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
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
			err = j.wal.append(b.frame, b.number)
		}
		if err == nil {
			break
		}
		j.stats.failures.Add(1)
		j.note(err)
		j.disappoint(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-j.stop:
			timer.Stop()
			if err := j.wal.append(b.frame, b.number); err != nil {
				return err
			}
			j.finish(b, time.Since(begun))
			return nil
		}
	}
	j.finish(b, time.Since(begun))
	return nil
}

// finish passes a safe batch on.
func (j *Journal) finish(b *batch, took time.Duration) {
	j.note(nil)
	j.stats.commits.Add(1)
	j.stats.bytes.Add(uint64(len(b.frame)))
	j.wal.note() // before anybody is told
	b.records, b.seal = b.frame[frameHeader:], j.wal.last.seal
	j.mu.Lock()
	promise := b.promise // nobody else comes to wait for it
	j.flight = nil
	j.ready = append(j.ready, b)
	j.backlog += len(b.frame)
	j.mu.Unlock()
	for _, d := range b.deferred {
		d.Apply()
	}
	b.deferred = nil
	promise.settle(nil) // after that: what is acknowledged can be read
	if j.config.Observe != nil {
		j.config.Observe(took)
	}
	select {
	case j.hand <- struct{}{}:
	default: // it is about to look anyway
	}
	j.wal.trim(j.stats.stored.Load())
}

// disappoint tells everybody who waits that writing fails, also those whose batch comes next: what they published
// is tried again, but they are not kept waiting for it. It is called after note, so that nobody comes after them.
func (j *Journal) disappoint(err error) {
	err = fmt.Errorf("%w: %w", ErrFailing, err)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range []*batch{j.flight, j.pending} {
		b.promise.settle(err)
		b.promise = newPromise()
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
		j.config.Log.Error("durable channels can not be stored", slog.String("error", err.Error()))
	case err == nil && before != nil:
		j.config.Log.Info("durable channels are stored again")
	}
}

// room waits while the checkpointer is too far behind. An error says that it will not catch up now.
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

// abandon gives up what can not be written: the journal is closed.
func (j *Journal) abandon(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left = fmt.Errorf("%w: %w", ErrFailing, err)
	j.flight.promise.settle(j.left)
	j.pending.promise.settle(j.left)
}
