package ledger

import (
	"context"
	"fmt"
	"math"
	"time"

	"weir/broker"
	"weir/broker/record"
)

// importLimit is for how long an import of a channel tries.
const importLimit = 8 * time.Second

// foreign is the generation of what no process of the cluster has kept: it goes on in another epoch when it is loaded, since its readers may have seen more.
const foreign = math.MaxUint64

// Import keeps a channel that another store had, and goes on with it in the epoch fresh. The channel must stay unused meanwhile: see [broker.Broker.Exclude]. It returns when a majority of the servers
// has it, and this process has been the one that keeps the partition until then: nobody has found the channel missing and begun another one.
//
// Errors: ErrExists, there is such a channel; ErrNotTaken, ErrFailing, ErrFenced: it may have been stored. What another process has begun meanwhile stands, and not what was imported.
func (l *Ledger) Import(channel string, kept *broker.Kept, fresh string) error {
	since := l.Tenure(channel)
	if since == 0 {
		return fmt.Errorf("import: %w", ErrNotTaken)
	}
	ctx, cancel := context.WithTimeout(context.Background(), importLimit)
	defer cancel()
	s, revision, err := l.readProven(ctx, channel)
	switch {
	case err != nil:
		return fmt.Errorf("import: %w: %w", ErrFailing, err)
	case !s.gone:
		return fmt.Errorf("import %s: %w", channel, ErrExists)
	}
	key := l.keyOf(channel)
	l.mu.Lock()
	now := l.now()
	l.mu.Unlock()
	s = saved{mark: s.mark, generation: foreign, kept: *kept}
	s.trim(l.config.Policy(channel).Resolved(), now)
	if _, err := l.config.Shelf.Put(ctx, revision, l.pieces(key, s.encode(key))...); err != nil {
		return fmt.Errorf("import: %w: %w", ErrFailing, err)
	}
	l.mu.Lock()
	if l.tenure(l.config.Partition(channel)) != since { // another process may have begun one
		l.mu.Unlock()
		return fmt.Errorf("import: %w", ErrNotTaken)
	}
	receipt := l.open(channel, false, func(b []byte) []byte { return record.AppendFork(b, channel, kept.Position, fresh, false) }).promise.Receipt(broker.Position{})
	l.mu.Unlock()
	select {
	case <-receipt.Done:
		_, err := receipt.Wait()
		return err
	case <-ctx.Done():
		return fmt.Errorf("import: %w: %w", ErrFailing, ctx.Err())
	}
}
