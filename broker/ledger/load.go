package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/broker"
	"weir/broker/record"
)

// keyOf is a channel's key on the shelf.
func (l *Ledger) keyOf(channel string) string {
	return strconv.Itoa(l.config.Partition(channel)) + "." + base64.RawURLEncoding.EncodeToString([]byte(channel))
}

// channelOf is the channel of a key; false for a piece.
func channelOf(key string) (string, bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 2 {
		return "", false
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[1])
	return string(name), err == nil
}

// A value that is too large for the shelf is on it in pieces, which are written together: its key has the magic, an id and how many there are, each piece begins with
// the id.
const (
	piecesMagic = "WLP1"
	idSize      = 26 // of rand.Text
)

// loadLimit is for how long a load tries to read the shelf.
const loadLimit = 4 * time.Second

// get reads the checkpoint of a channel; one without a mark if there is none.
func (l *Ledger) get(ctx context.Context, channel string) (s saved, revision uint64, err error) {
	key := l.keyOf(channel)
	for {
		var b []byte
		b, revision, err = l.config.Shelf.Get(ctx, key)
		if err == nil && b == nil {
			return saved{gone: true}, 0, nil
		}
		if err == nil && strings.HasPrefix(string(b[:min(len(b), len(piecesMagic))]), piecesMagic) {
			b, err = l.join(ctx, key, b[len(piecesMagic):])
		}
		if err == nil {
			s, err = decode(key, b)
			return s, revision, err
		}
		if ctx.Err() != nil {
			return s, 0, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(shortestPause):
		}
	}
}

// errTorn is why pieces do not make a whole: it was written anew meanwhile.
var errTorn = errors.New("the pieces of a checkpoint do not belong together")

func (l *Ledger) join(ctx context.Context, key string, head []byte) (b []byte, err error) {
	if len(head) < idSize {
		return nil, record.ErrCorrupt
	}
	id := string(head[:idSize])
	n, err := strconv.Atoi(string(head[idSize:]))
	for i := 1; i <= n && err == nil; i++ {
		var piece []byte
		piece, _, err = l.config.Shelf.Get(ctx, key+"."+strconv.Itoa(i))
		if err == nil && (len(piece) < idSize || string(piece[:idSize]) != id) {
			return nil, errTorn
		}
		b = append(b, piece[min(len(piece), idSize):]...)
	}
	return b, err
}

// entriesOf returns the records of a channel that are safe.
func (l *Ledger) entriesOf(channel string) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tails[channel]; t != nil {
		return slices.Clone(t.entries)
	}
	return nil
}

// readChannel reads a channel, with what is in the log. What the shelf has may have been replaced since: see prove, and put.
func (l *Ledger) readChannel(ctx context.Context, channel string) (s saved, revision uint64, err error) {
	entries := l.entriesOf(channel) // before the shelf: what has left them meanwhile is there
	if s, revision, err = l.get(ctx, channel); err == nil {
		err = s.add(entries)
	}
	return s, revision, err
}

// readProven reads a channel as a majority of the servers has it: one that lags behind may miss a checkpoint whose records are not in the log any more.
func (l *Ledger) readProven(ctx context.Context, channel string) (s saved, revision uint64, err error) {
	for {
		s, revision, err = l.readChannel(ctx, channel)
		if err == nil || errors.Is(err, record.ErrCorrupt) {
			failed := l.config.Shelf.Prove(ctx, l.keyOf(channel), revision)
			if failed == nil || ctx.Err() != nil {
				return s, revision, errors.Join(err, failed)
			}
		} else if ctx.Err() != nil || errors.Is(err, ErrFormat) {
			return s, revision, err
		}
		select {
		case <-ctx.Done():
			return s, revision, ctx.Err()
		case <-time.After(shortestPause):
		}
	}
}

// Tenure implements broker.Tenured.
func (l *Ledger) Tenure(channel string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tenure(l.config.Partition(channel))
}

// tenure is the order of the ref by which a partition is served; 0: it is not. Called with mu held.
func (l *Ledger) tenure(p int) uint64 {
	if !l.parts[p].serves.Load() || l.writer == nil {
		return 0
	}
	return l.parts[p].own.Order
}

// Load implements broker.Store.
func (l *Ledger) Load(channel, fresh string) (kept broker.Kept, ok bool, err error) {
	since := l.Tenure(channel)
	if since == 0 {
		return kept, false, fmt.Errorf("load: %w", ErrNotTaken)
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadLimit)
	defer cancel()
	s, _, err := l.readProven(ctx, channel)
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, record.ErrCorrupt) || errors.Is(err, ErrFormat) {
			l.count(&l.counts.Damaged)
			l.config.Log.Error("a stored channel cannot be read", slog.String("channel", channel), slog.String("error", err.Error()))
			return kept, false, fmt.Errorf("load: %w", err)
		}
		return kept, false, fmt.Errorf("load: %w: %w", ErrFailing, err)
	}
	p := l.config.Partition(channel)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tenure(p) != since { // another process may have changed it since it was read
		return kept, false, fmt.Errorf("load: %w", ErrNotTaken)
	}
	if s.gone {
		if _, dirty := l.dirty[channel]; !dirty && s.mark == (place{}) { // not one that was dropped: its epoch must not come back
			kept.Position.Epoch = unwritten(l.parts[p].seed, channel)
		}
		return kept, false, nil
	}
	l.counts.Loads++
	kept, kept.Read = s.kept, l.now()
	if s.generation != l.parts[p].own.Generation {
		old := kept.Position
		kept.Forks = append(kept.Forks, broker.Fork(old))
		kept.Forks = kept.Forks[max(0, len(kept.Forks)-mostForks):]
		l.open(channel, false, func(b []byte) []byte { return record.AppendFork(b, channel, old, fresh, false) })
		kept.Position.Epoch = fresh
	}
	return kept, true, nil
}

// unwritten is the epoch of a channel that has never had anything; "": it has none.
func unwritten(seed, channel string) string {
	if seed == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(seed + "\x00" + channel))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:]), 36)
}

// List implements broker.Store, for the partitions that are served here. It leaves out a channel that cannot be read.
func (l *Ledger) List(prefix, after string, limit int) (infos []broker.Info, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadLimit)
	defer cancel()
	names := make(map[string]bool)
	add := func(name string) {
		if strings.HasPrefix(name, prefix) && name > after && l.Serves(l.config.Partition(name)) {
			names[name] = true
		}
	}
	for p := range l.parts {
		if !l.Serves(p) {
			continue
		}
		if err := l.config.Shelf.Keys(ctx, strconv.Itoa(p), func(key string) error {
			if name, ok := channelOf(key); ok {
				add(name)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("list: %w: %w", ErrFailing, err)
		}
	}
	l.mu.Lock()
	for name := range l.tails {
		add(name)
	}
	l.mu.Unlock()
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		if len(infos) >= limit {
			break
		}
		s, _, err := l.readChannel(ctx, name)
		if err != nil || s.gone {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("list: %w: %w", ErrFailing, ctx.Err())
			}
			continue
		}
		infos = append(infos, broker.Info{Name: name, Position: s.kept.Position, Items: len(s.kept.Items), Changes: len(s.kept.Changes)})
	}
	return infos, nil
}
