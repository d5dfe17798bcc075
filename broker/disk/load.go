package disk

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
	"weir/internal/contain"
)

// Load implements broker.Store.
func (j *Journal) Load(channel, fresh string) (kept broker.Kept, ok bool, err error) {
	j.mu.Lock()
	m, dirty := j.dirty[channel]
	recovered := j.recovered
	j.mu.Unlock()
	if dirty && m.forgotten {
		return kept, false, nil // the database may still have it
	}
	var h header
	err = j.db.view(func(tx *bolt.Tx) (err error) {
		kept, h, ok, err = loadWith(tx, channel, recovered)
		kept.Read = j.now()
		return err
	})
	if err != nil {
		j.count(&j.counts.Damaged)
		j.config.Log.Error("a stored channel cannot be read", slog.String("channel", channel), slog.String("error", err.Error()))
		return kept, false, fmt.Errorf("load: %w", err)
	}
	if !ok {
		return kept, false, nil
	}
	j.count(&j.counts.Loads)
	if h.generation != j.generation {
		j.fork(channel, &kept, fresh, h.generation < j.severed)
	}
	return kept, true, nil
}

// fork moves a channel to another epoch. If it is severed, no reader resumes from those before: acknowledged changes
// may be missing in between.
func (j *Journal) fork(channel string, kept *broker.Kept, fresh string, severed bool) {
	kept.Forks = append(kept.Forks, broker.Fork{Epoch: kept.Position.Epoch, Seq: kept.Position.Seq})
	if severed {
		kept.Forks = nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	j.pending.frame = record.AppendFork(j.pending.frame, channel, kept.Position, fresh, severed)
	j.pend(channel, false)
	kept.Position.Epoch = fresh
}

// loadWith reads a channel, brought up to date with what was found in the log.
func loadWith(tx *bolt.Tx, channel string, recovered *recovered) (kept broker.Kept, h header, ok bool, err error) {
	d, err := recovered.of(tx, channel)
	if err != nil {
		return kept, h, false, err
	}
	if d == nil || !d.Reset {
		if kept, h, ok, err = load(tx, channel); err != nil {
			return kept, h, false, err
		}
	}
	if d != nil {
		if ok, err = d.Fold(&kept); err != nil {
			return kept, h, false, err
		}
		h.generation = recovered.generation
	}
	return kept, h, ok, nil
}

// load reads a channel. What it returns does not alias the database.
func load(tx *bolt.Tx, channel string) (kept broker.Kept, h header, ok bool, err error) {
	channels := tx.Bucket(bucketChannels)
	h, ok, err = readHeader(channels, channel)
	if err == nil && !ok {
		err = absent(tx, channels, channel)
	}
	if err != nil || !ok {
		return kept, h, false, err
	}
	kept.Position = broker.Position{Epoch: h.epoch, Seq: h.seq}
	kept.Forks = h.forks
	kept.Changes, err = loadHistory(tx.Bucket(bucketHistory), channel, &h)
	if err == nil {
		kept.Items, err = loadItems(tx.Bucket(bucketItems), channel)
	}
	if n := uint64(len(kept.Items)); err == nil && n != h.items {
		err = fmt.Errorf("%d items, not %d: %w", n, h.items, ErrCorrupt)
	}
	if err == nil && h.keys > 0 {
		kept.Keys, err = loadKeys(tx.Bucket(bucketKeys), channel)
	}
	return kept, h, err == nil, err
}

func loadHistory(bucket *bolt.Bucket, channel string, h *header) (list []broker.KeptChange, err error) {
	if h.first > h.seq {
		return nil, nil
	}
	prefix, next := prefixOf(channel), h.first
	for k, sealed := range entries(bucket, seqKey(channel, h.first), prefix, &err) {
		seq, ok := seqOf(k, prefix)
		p, isPage := record.Opened(k, sealed, decodePage)
		changes, whole := p.changes()
		if !ok || !isPage || !whole || seq != next {
			return nil, fmt.Errorf("history at %d: %w", next, ErrCorrupt)
		}
		for _, change := range changes {
			list = append(list, change.Kept())
		}
		next += uint64(len(changes))
	}
	if err != nil {
		return nil, err
	}
	if next != h.seq+1 {
		return nil, fmt.Errorf("history ends at %d, not %d: %w", next-1, h.seq, ErrCorrupt)
	}
	return list, nil
}

func loadItems(bucket *bolt.Bucket, channel string) (items []broker.KeptItem, err error) {
	type born struct {
		seq  uint64
		item broker.KeptItem
	}
	var list []born
	prefix := prefixOf(channel)
	for k, sealed := range entries(bucket, prefix, prefix, &err) {
		group, key, ok := bytes.Cut(k[len(prefix):], []byte{0})
		i, whole := record.Opened(k, sealed, decodeItem)
		if !ok || !whole {
			return nil, fmt.Errorf("item %q: %w", k[len(prefix):], ErrCorrupt)
		}
		list = append(list, born{i.born, record.KeptItem(string(group), string(key), i.ends, i.data)})
	}
	slices.SortFunc(list, func(a, b born) int { return cmp.Compare(a.seq, b.seq) })
	items = make([]broker.KeptItem, len(list))
	for i, b := range list {
		items[i] = b.item
	}
	return items, err
}

func loadKeys(bucket *bolt.Bucket, channel string) (list []broker.KeptKey, err error) {
	prefix := prefixOf(channel)
	for k, sealed := range entries(bucket, prefix, prefix, &err) {
		seq, key, ok := idemOf(k, prefix)
		at, whole := record.Opened(k, sealed, decodeTime)
		if !ok || !whole {
			return nil, fmt.Errorf("idempotency key %q: %w", k[len(prefix):], ErrCorrupt)
		}
		list = append(list, broker.KeptKey{Key: string(key), Seq: seq, At: time.UnixMilli(at)})
	}
	return list, err
}

// List implements broker.Store. A channel that cannot be read is left out; Load returns why. Close ends it.
func (j *Journal) List(prefix, after string, limit int) (infos []broker.Info, err error) {
	err = j.db.view(func(tx *bolt.Tx) (err error) {
		seen := 0
		for k, sealed := range entries(tx.Bucket(bucketChannels), []byte(max(prefix, after)), []byte(prefix), &err) {
			if len(infos) >= limit {
				break
			}
			if seen++; seen%sweepStep == 0 && contain.Closed(j.stop)() {
				return ErrClosed // Close waits for those who read
			}
			h, ok := record.Opened(k, sealed, decodeHeader)
			if name := string(k); name > after && ok && !j.forgotten(name) {
				infos = append(infos, broker.Info{Name: name, Position: broker.Position{Epoch: h.epoch, Seq: h.seq},
					Items: int(h.items), Changes: int(h.seq - h.first + 1)})
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return infos, nil
}

func (j *Journal) forgotten(channel string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dirty[channel].forgotten
}
