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
)

// Load implements broker.Store.
func (j *Journal) Load(channel, fresh string) (kept broker.Kept, ok bool, err error) {
	j.mu.Lock()
	m, marked := j.marks[channel]
	j.mu.Unlock()
	if marked && m.forgotten {
		return kept, false, nil // the database may not know yet
	}
	var h header
	err = guard(func() error {
		return j.db.View(func(tx *bolt.Tx) (err error) {
			kept, h, ok, err = load(tx, channel, j.now())
			return err
		})
	})
	if err != nil {
		j.stats.damaged.Add(1)
		j.config.Log.Error("a stored channel can not be read", slog.String("channel", channel), slog.String("error", err.Error()))
		return kept, false, fmt.Errorf("load: %w", err)
	}
	if !ok {
		return kept, false, nil
	}
	j.stats.loads.Add(1)
	if h.generation != j.generation {
		j.fork(channel, &kept, fresh)
	}
	return kept, true, nil
}

// fork has a channel go on in another epoch.
func (j *Journal) fork(channel string, kept *broker.Kept, fresh string) {
	kept.Forks = append(kept.Forks, broker.Fork{Epoch: kept.Position.Epoch, Seq: kept.Position.Seq})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	if j.pending.empty() {
		j.pending.since = j.now()
	}
	j.pending.frame = appendFork(j.pending.frame, channel, kept.Position, fresh)
	j.marks[channel] = mark{number: j.pending.number}
	kept.Position.Epoch = fresh
	j.poke()
}

// load reads a channel. What it answers does not alias the database.
func load(tx *bolt.Tx, channel string, now time.Time) (kept broker.Kept, h header, ok bool, err error) {
	h, ok, err = readHeader(tx.Bucket(bucketChannels), channel)
	if err != nil || !ok {
		return kept, h, false, err
	}
	kept.Read = now
	kept.Position = broker.Position{Epoch: h.epoch, Seq: h.seq}
	kept.Forks = h.forks
	if kept.Changes, err = loadHistory(tx.Bucket(bucketHistory), channel, &h); err != nil {
		return kept, h, false, err
	}
	if kept.Items, err = loadItems(tx.Bucket(bucketItems), channel); err != nil {
		return kept, h, false, err
	}
	if h.keyed {
		kept.Keys, err = loadKeys(tx.Bucket(bucketKeys), channel)
	}
	return kept, h, err == nil, err
}

func loadHistory(bucket *bolt.Bucket, channel string, h *header) (list []broker.KeptChange, err error) {
	if h.first > h.seq {
		return nil, nil
	}
	prefix, next := prefixOf(channel), h.first
	c := bucket.Cursor()
	for k, sealed := c.Seek(seqKey(channel, h.first)); bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
		seq, ok := seqOf(k, prefix)
		b, whole := unseal(k, sealed)
		p, isPage := decodePage(b)
		if !ok || !whole || !isPage || seq != next {
			return nil, fmt.Errorf("history at %d: %w", next, ErrCorrupt)
		}
		changes, whole := p.changes()
		if !whole {
			return nil, fmt.Errorf("history at %d: %w", next, ErrCorrupt)
		}
		for _, change := range changes {
			list = append(list, broker.KeptChange{Op: change.op, Expired: change.expired, Group: string(change.group), Key: string(change.key),
				Data: bytes.Clone(change.data), At: time.UnixMilli(change.at)})
		}
		next += uint64(len(changes))
	}
	if next != h.seq+1 {
		return nil, fmt.Errorf("history ends at %d, not %d: %w", next-1, h.seq, ErrCorrupt)
	}
	return list, nil
}

func loadItems(bucket *bolt.Bucket, channel string) ([]broker.KeptItem, error) {
	type born struct {
		seq  uint64
		item broker.KeptItem
	}
	var list []born
	prefix := prefixOf(channel)
	c := bucket.Cursor()
	for k, sealed := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
		group, key, ok := bytes.Cut(k[len(prefix):], []byte{0})
		b, whole := unseal(k, sealed)
		i, isItem := decodeItem(b)
		if !ok || !whole || !isItem {
			return nil, fmt.Errorf("item %q: %w", k[len(prefix):], ErrCorrupt)
		}
		item := broker.KeptItem{Group: string(group), Key: string(key), Data: bytes.Clone(i.data)}
		if i.ends != 0 {
			item.Ends = time.UnixMilli(i.ends)
		}
		list = append(list, born{i.born, item})
	}
	slices.SortFunc(list, func(a, b born) int { return cmp.Compare(a.seq, b.seq) })
	items := make([]broker.KeptItem, len(list))
	for i, b := range list {
		items[i] = b.item
	}
	return items, nil
}

func loadKeys(bucket *bolt.Bucket, channel string) (list []broker.KeptKey, err error) {
	prefix := prefixOf(channel)
	c := bucket.Cursor()
	for k, sealed := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
		seq, ok := seqOf(k, prefix)
		b, whole := unseal(k, sealed)
		stored, isKey := decodeKey(b)
		if !ok || !whole || !isKey {
			return nil, fmt.Errorf("idempotency key at %q: %w", k[len(prefix):], ErrCorrupt)
		}
		list = append(list, broker.KeptKey{Key: string(stored.key), Seq: seq, At: time.UnixMilli(stored.at)})
	}
	return list, nil
}

// List implements broker.Store.
func (j *Journal) List(prefix, after string, limit int) (infos []broker.Info, err error) {
	err = guard(func() error {
		return j.db.View(func(tx *bolt.Tx) error {
			channels := tx.Bucket(bucketChannels)
			from := max(prefix, after)
			c := channels.Cursor()
			for k, sealed := c.Seek([]byte(from)); bytes.HasPrefix(k, []byte(prefix)) && len(infos) < limit; k, sealed = c.Next() {
				b, whole := unseal(k, sealed)
				h, ok := decodeHeader(b)
				if name := string(k); name > after && whole && ok && !j.forgotten(name) {
					infos = append(infos, broker.Info{Name: name, Position: broker.Position{Epoch: h.epoch, Seq: h.seq},
						Items: int(h.items), Changes: int(h.seq - h.first + 1)})
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return infos, nil
}

func (j *Journal) forgotten(channel string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.marks[channel].forgotten
}
