package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/broker"
	"weir/broker/record"
	"weir/internal/mesh"
)

// The pauses between attempts to append a frame, and for how long the publishers of a frame wait for one.
const (
	shortestPause = 20 * time.Millisecond
	longestPause  = time.Second
	patience      = 5 * time.Second
	appendLimit   = 2 * time.Second // of one attempt
)

// commit appends frames until the ledger is closed and nothing is pending.
func (l *Ledger) commit() {
	for {
		for b, w := l.take(); b != nil; b, w = l.take() {
			l.write(w, b)
		}
		select {
		case <-l.wake:
		case <-l.stop:
			l.mu.Lock()
			empty := l.flight == nil && len(l.pending) == 0 || l.writer == nil || l.failing != nil
			l.mu.Unlock()
			if empty {
				return
			}
		}
	}
}

// take makes the oldest batch the one in flight, unless there is one, which a panic has left; nil: nothing is to be appended.
func (l *Ledger) take() (*batch, *writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flight == nil && len(l.pending) > 0 && l.writer != nil {
		b := l.pending[0]
		l.pending = l.pending[1:]
		l.waiting -= len(b.frame) - envelopeSize - record.FrameHeader
		l.flight = b
	}
	if l.flight == nil || l.closed && l.failing != nil {
		return nil, nil
	}
	return l.flight, l.writer
}

// write appends a batch, however long that takes, unless this process is fenced or ends.
func (l *Ledger) write(w *writer, b *batch) {
	begun := time.Now()
	seal := putEnvelope(b.frame, kindFrame, w.session, w.frames+1, w.seal)
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		number, err := l.append(w, b)
		if err == nil {
			w.last, w.frames, w.seal = number, w.frames+1, seal
			l.finish(w, b, time.Since(begun))
			return
		}
		if errors.Is(err, ErrFenced) {
			l.fenced(w, err)
			return
		}
		if full := errors.Is(err, mesh.ErrFull); full || time.Since(begun) > patience {
			l.note(err)
			l.disappoint(err)
			wake(l.hand)
		}
		select {
		case <-time.After(pause):
		case <-l.stop:
			if time.Since(begun) > closeLimit {
				l.note(err)
				return
			}
			time.Sleep(pause)
		}
	}
}

// append tries once to append a batch, and finds out whether an earlier attempt has.
func (l *Ledger) append(w *writer, b *batch) (number uint64, err error) {
	err = errPanic
	l.config.Panic.Do("commit", func() {
		ctx, cancel := context.WithTimeout(context.Background(), appendLimit)
		defer cancel()
		var there uint64
		if there, err = w.log.Append(ctx, b.frame, w.last); err == nil {
			number = there
			return
		}
		if !errors.Is(err, mesh.ErrConflict) {
			return
		}
		if there > 0 && there < w.last { // by a server that was replaced and does not know it, or the log is another one: nothing is acknowledged either way
			err = fmt.Errorf("the NATS servers report that log %d ends at message %d: expected message %d or a later one", w.slot, there, w.last)
			return
		}
		switch mine, known := isAt(ctx, w.log, w.last+1, w.session, w.frames+1); {
		case mine:
			number, err = w.last+1, nil
		case known:
			err = ErrFenced
		default:
			err = fmt.Errorf("log %d: %w", w.slot, err)
		}
	})
	return number, err
}

// errPanic is why something was not appended or written that there was a panic over.
var errPanic = errors.New("internal error: see the log")

// finish passes a batch on that is in the log.
func (l *Ledger) finish(w *writer, b *batch, took time.Duration) {
	records := b.frame[envelopeSize+record.FrameHeader:]
	l.mu.Lock()
	healed := l.failing != nil
	l.failing = nil
	l.counts.Commits++
	l.counts.Bytes += uint64(len(b.frame))
	if err := l.addRecords(records, func(p int) (Ref, bool) { return l.parts[p].own, l.parts[p].own.Order > 0 }, w.last); err != nil {
		l.config.Log.Error("a frame that was written cannot be decoded", slog.String("error", err.Error()))
	}
	w.safe.Store(w.last) // before it is not in flight any more: who flushes closes refs by that
	promise := b.promise // no publisher waits for it from here on
	if l.flight == b {
		l.flight = nil
	}
	for channel, d := range l.dirtyIn(records) {
		if d.number <= b.number {
			delete(l.dirty, channel)
		}
	}
	full := l.backlog > l.config.Checkpoint
	l.mu.Unlock()
	for _, d := range b.deferred {
		l.config.Panic.Do("deferred change", d.Apply) // its channel is given up, and read back
	}
	b.deferred = nil
	promise.Settle(nil) // after that: what is acknowledged can be read
	if healed {
		l.config.Log.Info("durable channels can be stored again")
	}
	if full {
		wake(l.hand)
	}
	if l.config.Observe != nil {
		l.config.Observe(took)
	}
}

// dirtyIn returns what is dirty of the channels that records are of. Called with mu held.
func (l *Ledger) dirtyIn(records []byte) map[string]dirtyChannel {
	found := make(map[string]dirtyChannel)
	_ = record.Split(records, func(channel, _ []byte) {
		if d, ok := l.dirty[string(channel)]; ok {
			found[string(channel)] = d
		}
	})
	return found
}

// addRecords adds records to the tails of their channels, of the partitions of which ref knows where they were written. Called with mu held.
func (l *Ledger) addRecords(records []byte, ref func(partition int) (Ref, bool), number uint64) error {
	return record.Split(records, func(channel, one []byte) {
		p := l.config.Partition(string(channel))
		r, ok := ref(p)
		if !ok {
			return
		}
		t := l.tails[string(channel)]
		if t == nil {
			t = &tail{partition: p}
			l.tails[string(channel)] = t
		}
		t.entries = append(t.entries, entry{place{r.Order, number}, r.Generation, one})
		l.backlog += len(one)
	})
}

// disappoint reports to all who wait that it does not work for now: what they published is tried again, but they do not wait for it. Called after note, so that no
// publisher comes after them.
func (l *Ledger) disappoint(err error) {
	err = fmt.Errorf("%w: %w", ErrFailing, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Failures++
	for _, b := range append([]*batch{l.flight}, l.pending...) {
		if b != nil {
			b.promise.Settle(err)
			b.promise = broker.NewPromise()
		}
	}
}

// note keeps why nothing is appended, and logs when that begins.
func (l *Ledger) note(err error) {
	l.mu.Lock()
	before := l.failing
	l.failing = err
	l.mu.Unlock()
	if before == nil {
		l.config.Log.Error("durable channels cannot be stored", slog.String("error", err.Error()))
	}
}

// fenced steps down: nothing of what waits is known to be stored.
func (l *Ledger) fenced(w *writer, err error) {
	l.config.Log.Warn("another node has taken over the durable channels of this node", slog.String("error", err.Error()))
	l.mu.Lock()
	if l.writer == w {
		l.writer = nil
	}
	l.counts.Fenced++
	for p := range l.parts {
		l.drop(p)
	}
	l.abandon(err)
	l.mu.Unlock()
	l.config.Fenced()
}
