package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"weir/internal/mesh"
)

// Made reports whether the table knows that the log and the shelf were made. Those are not made again, although servers that have just started
// may not find them.
type Made struct{ Log, Shelf bool }

// Begin makes this process the writer of the log of a slot, in a session of its own, and fences the process that wrote to it before. It
// returns the session and its first number. It makes the log and the shelf unless made says that they were made. Errors: ErrFormat, ErrClosed,
// and those of the mesh.
func (l *Ledger) Begin(ctx context.Context, slot int, made Made) (session string, from uint64, err error) {
	if err := l.format(ctx, made.Shelf); err != nil {
		return "", 0, err
	}
	w := &writer{log: l.config.Logs(slot), slot: slot, session: rand.Text()}
	if !made.Log {
		if err := w.log.Make(ctx); err != nil {
			return "", 0, err
		}
	}
	at, err := w.begin(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("begin log %d: %w", slot, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return "", 0, ErrClosed
	}
	l.writer, l.failing, l.reserved = w, nil, 0
	l.wall = at.Add(-time.Since(l.opened))
	return w.session, w.last, nil
}

// formatKey is where the shelf says what it is. It is written first of all.
const formatKey = "format"

// format holds the shelf against what this version knows, and makes it if it was never made.
func (l *Ledger) format(ctx context.Context, made bool) error {
	if !made {
		if err := l.config.Shelf.Make(ctx); err != nil {
			return err
		}
	}
	for {
		b, _, err := l.config.Shelf.Get(ctx, formatKey)
		switch {
		case err != nil:
			return fmt.Errorf("read the format of the checkpoints: %w", err)
		case string(b) == valueMagic:
			return nil
		case b != nil:
			return fmt.Errorf("%w: the checkpoints have format %q, this version reads %q: start the other version, or use another cluster.name", ErrFormat, b, valueMagic)
		case made: // somebody is asked who lags behind, or it was dropped
			return fmt.Errorf("read the format of the checkpoints: %w", mesh.ErrAbsent)
		}
		if _, err = l.config.Shelf.Put(ctx, 0, mesh.Value{Key: formatKey, Data: []byte(valueMagic)}); err != nil && !errors.Is(err, mesh.ErrConflict) {
			return fmt.Errorf("write the format of the checkpoints: %w", err)
		}
	}
}

// begin appends the fence, and returns the time of it.
func (w *writer) begin(ctx context.Context) (at time.Time, err error) {
	if w.last, err = appendFence(ctx, w.log, w.session, 0); err != nil {
		return at, err
	}
	w.safe.Store(w.last)
	begun := time.Now()
	err = w.log.Read(ctx, w.last, w.last, func(_ uint64, t time.Time, b []byte) error {
		at = t
		return nil
	})
	return at.Add(time.Since(begun)), err
}

// appendFence appends a fence after whatever is there, and returns its number. last is a guess at what that is.
func appendFence(ctx context.Context, log mesh.Log, session string, last uint64) (uint64, error) {
	b := fence(session)
	for {
		number, err := log.Append(ctx, b, last)
		if err == nil {
			return number, nil
		}
		conflict := errors.Is(err, mesh.ErrConflict)
		if conflict && number == 0 {
			if _, number, err = log.Bounds(ctx); err != nil {
				return 0, err
			}
		}
		if ctx.Err() != nil || errors.Is(err, mesh.ErrFull) || errors.Is(err, mesh.ErrAbsent) {
			return 0, err
		}
		if conflict && number > last { // by an attempt before, perhaps
			mine, known := isAt(ctx, log, last+1, session, 0)
			if mine {
				return last + 1, nil
			}
			if known {
				last = number
				continue
			}
		} else if conflict {
			last = number
		}
		select { // it may have been appended, what was seen at the end was not kept after all, or the server has not heard yet that it was replaced
		case <-ctx.Done():
			return 0, err
		case <-time.After(shortestPause):
		}
	}
}

// isAt reports whether what stands at a number is a frame of a session, if that is known before long: what a server has taken last may never be kept.
func isAt(ctx context.Context, log mesh.Log, number uint64, session string, frame uint64) (mine, known bool) {
	ctx, cancel := context.WithTimeout(ctx, appendLimit)
	defer cancel()
	err := log.Read(ctx, number, number, func(_ uint64, _ time.Time, b []byte) error {
		m, err := readMessage(b)
		mine = err == nil && m.session == session && m.frame.Number == frame
		return nil
	})
	return mine, err == nil
}
