package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"weir/internal/mesh"
)

// The checkpointer looks at what there is to do when it is woken, and every checkEvery.
const (
	checkEvery = 5 * time.Second
	putLimit   = 10 * time.Second // of one channel
)

// checkpoint puts on the shelf what others have left in their logs, and what is oldest in this process's own when there is too much of it, until the ledger is closed.
func (l *Ledger) checkpoint() {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.hand:
		case <-ticker.C:
		case <-l.stop:
			return
		}
		for _, channel := range l.due() {
			select {
			case <-l.stop:
				return
			default:
			}
			err := errPanic
			l.config.Panic.Do("checkpoint", func() { err = l.save(channel) })
			if l.saved(err); err != nil {
				break // the others would fail, too; it is tried again
			}
		}
		l.config.Panic.Do("checkpoint", l.purge)
	}
}

// due returns the channels that are to be put on the shelf, those with the oldest records first.
func (l *Ledger) due() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	type one struct {
		channel string
		oldest  place
		bytes   int
	}
	var inherited, own []one
	for channel, t := range l.tails {
		bytes := 0
		for _, e := range t.entries {
			bytes += len(e.record)
		}
		o := one{channel, t.entries[0].place, bytes}
		if o.oldest.order != l.parts[t.partition].own.Order {
			inherited = append(inherited, o)
		} else {
			own = append(own, o)
		}
	}
	var names []string
	for _, o := range inherited {
		names = append(names, o.channel)
	}
	full := errors.Is(l.failing, mesh.ErrFull)
	if l.backlog <= l.config.Checkpoint && !full {
		return names
	}
	slices.SortFunc(own, func(a, b one) int {
		switch {
		case a.oldest.number < b.oldest.number:
			return -1
		case a.oldest.number > b.oldest.number:
			return 1
		}
		return 0
	})
	for left := l.backlog; len(own) > 0 && (left > l.config.Checkpoint/2 || full); own = own[1:] {
		left -= own[0].bytes
		names = append(names, own[0].channel)
	}
	return names
}

// save puts a channel on the shelf.
func (l *Ledger) save(channel string) error {
	ctx, cancel := context.WithTimeout(context.Background(), putLimit)
	defer cancel()
	s, err := l.put(ctx, channel)
	if err != nil {
		return fmt.Errorf("checkpoint of %s: %w", channel, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Checkpoints++
	t := l.tails[channel]
	if t == nil {
		return nil
	}
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool {
		if e.after(s.mark) {
			return false
		}
		l.backlog -= len(e.record)
		return true
	})
	if len(t.entries) == 0 {
		delete(l.tails, channel)
	}
	return nil
}

// put writes what there is of a channel to the shelf, unless there is as much of it there already. It replaces what it builds on and nothing else: who lags behind may have told of an
// older checkpoint.
func (l *Ledger) put(ctx context.Context, channel string) (s saved, err error) {
	key := l.keyOf(channel)
	policy := l.config.Policy(channel).Resolved()
	for {
		var revision uint64
		entries := l.entriesOf(channel)
		if s, revision, err = l.get(ctx, channel); err != nil {
			return s, err
		}
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.after(s.mark) }) { // by an earlier attempt, or by who has the channel now
			return s, nil
		}
		if err = s.add(entries); err == nil {
			l.mu.Lock()
			now := l.now()
			l.mu.Unlock()
			s.trim(policy, now)
			_, err = l.config.Shelf.Put(ctx, revision, l.pieces(key, s.encode(key))...)
		} else if failed := l.config.Shelf.Prove(ctx, key, revision); failed != nil {
			err = failed
		} else {
			return s, err
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, mesh.ErrFull) || errors.Is(err, mesh.ErrAbsent) {
			return s, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(shortestPause):
		}
	}
}

// saved notes how a checkpoint went.
func (l *Ledger) saved(err error) {
	l.mu.Lock()
	before := l.broken
	l.broken = err
	if err != nil {
		l.counts.Failures++
	}
	l.mu.Unlock()
	switch {
	case err != nil && before == nil:
		l.config.Log.Error("the checkpoints of durable channels cannot be written; changes stay in the log", slog.String("error", err.Error()))
	case err == nil && before != nil:
		l.config.Log.Info("the checkpoints of durable channels can be written again")
	}
}

// purge drops the messages of this process's log that nobody needs.
func (l *Ledger) purge() {
	l.mu.Lock()
	w := l.writer
	if w == nil || l.reserved == 0 {
		l.mu.Unlock()
		return
	}
	to := min(w.safe.Load(), l.reserved-1)
	for _, t := range l.tails {
		own := l.parts[t.partition].own
		for _, e := range t.entries {
			if e.order == own.Order && own.Session == w.session {
				to = min(to, e.number-1)
				break // the oldest of them
			}
		}
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), appendLimit)
	defer cancel()
	if first, _, err := w.log.Bounds(ctx); err != nil || to < first {
		return
	}
	if err := w.log.Purge(ctx, to); err != nil {
		l.config.Log.Debug("the log was not purged", slog.String("error", err.Error()))
	}
}

// pieces cuts a value into what the shelf takes.
func (l *Ledger) pieces(key string, b []byte) []mesh.Value {
	limit := min(l.config.Shelf.Limit(), frameSize)
	if len(b) <= limit {
		return []mesh.Value{{Key: key, Data: b}}
	}
	id := rand.Text()
	var values []mesh.Value
	for chunk := range slices.Chunk(b, limit-idSize) {
		values = append(values, mesh.Value{Key: key + "." + strconv.Itoa(len(values)+1), Data: append([]byte(id), chunk...)})
	}
	return append(values, mesh.Value{Key: key, Data: append([]byte(piecesMagic+id), strconv.Itoa(len(values))...)})
}
