package disk

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
	"weir/broker/record"
)

// mostForks bounds the earlier epochs of a channel that are kept.
const mostForks = 8

// writer puts deltas into the database, within one transaction.
type writer struct {
	generation                     uint64
	now                            time.Time
	channels, history, items, keys *bolt.Bucket
	damaged                        map[string]error // channels that cannot be read, and are left as they are
	turn                           turn
}

// turn is the checkpointer's on a processor.
type turn struct{ begun time.Time }

// longestTurn is for how long publishers may have to wait for the checkpointer where there is one processor for both:
// the runtime would let it go on for ten times as long.
const longestTurn = time.Millisecond

// share lets others run if the turn was long.
func (t *turn) share() {
	if time.Since(t.begun) > longestTurn {
		runtime.Gosched()
		t.begun = time.Now()
	}
}

func newWriter(tx *bolt.Tx, generation uint64, now time.Time) *writer {
	return &writer{
		generation, now, tx.Bucket(bucketChannels), tx.Bucket(bucketHistory), tx.Bucket(bucketItems), tx.Bucket(bucketKeys),
		make(map[string]error), turn{time.Now()},
	}
}

// apply puts all deltas in, in the order of the names: neighbours share pages.
func (w *writer) apply(d record.Deltas) error {
	for _, name := range slices.Sorted(maps.Keys(d)) {
		w.turn.share()
		err := w.channel(name, d[name])
		if errors.Is(err, ErrCorrupt) { // found before anything of it was written: the others go on
			w.damaged[name] = err
			continue
		}
		if err != nil {
			return fmt.Errorf("channel %s: %w", name, err)
		}
	}
	return nil
}

// readHeader returns what is known of a channel; false if there is nothing.
func readHeader(channels *bolt.Bucket, name string) (h header, ok bool, err error) {
	key := []byte(name)
	sealed := channels.Get(key)
	if sealed == nil {
		return h, false, nil
	}
	if h, ok = record.Opened(key, sealed, decodeHeader); !ok {
		return h, false, fmt.Errorf("header: %w", ErrCorrupt)
	}
	return h, true, nil
}

func (w *writer) channel(name string, d *record.Delta) error {
	h, known, err := readHeader(w.channels, name)
	if err != nil && !d.Reset {
		return err
	}
	if d.Reset {
		if err := w.drop(name); err != nil {
			return err
		}
		h, known = header{}, false
	}
	if d.Gone {
		return nil
	}
	if !known {
		h = header{first: d.Seq - uint64(len(d.Log)) + 1}
	}
	h.generation, h.epoch, h.seq = w.generation, d.Epoch, d.Seq
	if d.Alone {
		h.forks = nil
	}
	h.forks = append(h.forks, d.Forks...)
	h.forks = h.forks[max(0, len(h.forks)-mostForks):]
	if err := w.writeItems(name, &h, d.Items); err != nil {
		return err
	}
	if err := w.writeKeys(name, &h, d); err != nil {
		return err
	}
	if len(d.Log) > 0 {
		h.last = d.Log[len(d.Log)-1].At
	}
	if h.last == 0 {
		h.last = w.now.UnixMilli()
	}
	if err := w.writeHistory(name, &h, d); err != nil {
		return err
	}
	return w.channels.Put([]byte(name), record.Seal([]byte(name), h.encode()))
}

// drop removes all of a channel.
func (w *writer) drop(name string) error {
	prefix := prefixOf(name)
	for _, bucket := range []*bolt.Bucket{w.history, w.items, w.keys} {
		if err := purge(bucket, prefix, func(_, _ []byte) bool { return false }); err != nil {
			return err
		}
	}
	return w.channels.Delete([]byte(name))
}

// writeItems writes what has become of items. What appends have grown is written whole, once.
func (w *writer) writeItems(name string, h *header, items map[string]*record.ItemDelta) error {
	for id, d := range items { // before anything is written
		if !d.Grown() {
			continue
		}
		if _, err := w.item(append(prefixOf(name), id...), d); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(items)) {
		w.turn.share()
		d, key := items[id], append(prefixOf(name), id...)
		if w.items.Get(key) != nil {
			h.items -= min(h.items, 1)
		}
		if !d.There() {
			if err := w.items.Delete(key); err != nil {
				return err
			}
			continue
		}
		item, err := w.item(key, d)
		if err != nil {
			return err
		}
		h.items++
		if err := w.items.Put(key, record.Seal(key, item.encode())); err != nil {
			return err
		}
	}
	return nil
}

// item is what has become of an item. Errors: ErrCorrupt, if the database does not have what was appended to.
func (w *writer) item(key []byte, d *record.ItemDelta) (item storedItem, err error) {
	item.born = d.Born
	var before storedItem
	if old := w.items.Get(key); old != nil && !d.Deleted {
		known, ok := record.Opened(key, old, decodeItem)
		if ok {
			item.born, before = known.born, known
		} else if d.Grown() && !d.Set {
			return item, fmt.Errorf("item %q: %w", key, ErrCorrupt)
		}
	}
	item.data, item.ends, err = d.Value(before.data, before.ends)
	return item, err
}

// writeKeys adds idempotency keys and removes those that are too old or too many.
func (w *writer) writeKeys(name string, h *header, d *record.Delta) error {
	for _, k := range d.Keys {
		key := append(seqKey(name, k.Seq), k.Key...)
		if w.keys.Get(key) == nil {
			h.keys++
		}
		if err := w.keys.Put(key, record.Seal(key, encodeTime(k.At))); err != nil {
			return err
		}
	}
	if h.keys == 0 {
		return nil
	}
	prefix, oldest, most := prefixOf(name), w.now.Add(-d.Policy.Idempotency).UnixMilli(), d.Policy.IdempotencyKeys
	left := uint64(0)
	err := purge(w.keys, prefix, func(k, sealed []byte) bool {
		if at, ok := record.Opened(k, sealed, decodeTime); ok && at > oldest && (most == 0 || h.keys <= uint64(most)) {
			left = h.keys
			return true
		}
		h.keys -= min(h.keys, 1)
		return false
	})
	h.keys = left
	return err
}

// writeHistory adds pages and removes those of which nothing is kept.
func (w *writer) writeHistory(name string, h *header, d *record.Delta) error {
	if d.Policy.History == 0 {
		h.first = h.seq + 1
		return nil
	}
	log := d.Log[max(0, len(d.Log)-d.Policy.History):]
	if len(log) == 0 {
		return nil
	}
	if err := w.addPages(name, h.seq, log); err != nil {
		return err
	}
	return w.trimHistory(name, h, &d.Policy)
}

// addPages adds changes, the last of which has the given seq, behind those that are there.
func (w *writer) addPages(name string, last uint64, log []record.Change) error {
	prefix := prefixOf(name)
	first := last - uint64(len(log)) + 1
	var p page
	from := first
	keys, err := pageKeys(w.history, prefix)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		k := keys[len(keys)-1]
		before, ok := record.Opened(k, w.history.Get(k), decodePage)
		if seq, isSeq := seqOf(k, prefix); ok && isSeq && len(before.body) < pageSize && seq+uint64(before.count) == first {
			p, from = before, seq
			p.body = bytes.Clone(p.body)
		}
	}
	for i, c := range log {
		p.body, p.last = append(p.body, c.Raw...), c.At
		p.count++
		if len(p.body) >= pageSize || i == len(log)-1 {
			w.turn.share()
			key := seqKey(name, from)
			if err := w.history.Put(key, record.Seal(key, p.encode())); err != nil {
				return err
			}
			from, p = from+uint64(p.count), page{}
		}
	}
	return nil
}

// trimHistory removes pages beyond the policy.
func (w *writer) trimHistory(name string, h *header, policy *broker.Policy) error {
	prefix := prefixOf(name)
	oldest := int64(0)
	if policy.HistoryTTL > 0 {
		oldest = w.now.Add(-policy.HistoryTTL).UnixMilli()
	}
	size := 0
	var over [][]byte
	h.first = h.seq + 1
	keys, err := pageKeys(w.history, prefix)
	if err != nil {
		return err
	}
	for _, k := range slices.Backward(keys) {
		seq, ok := seqOf(k, prefix)
		p, isPage := record.Opened(k, w.history.Get(k), decodePage)
		keep := ok && isPage && len(over) == 0 && p.last >= oldest && h.seq-seq-uint64(p.count)+1 < uint64(policy.History) &&
			(policy.HistoryBytes == 0 || size < policy.HistoryBytes)
		if keep {
			size += len(p.body)
			h.first = seq
			continue
		}
		over = append(over, k)
	}
	for _, k := range over {
		if err := w.history.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// pageKeys returns the keys of a channel's pages, oldest first. They are walked forwards: backwards, the library's
// cursor stops where the same transaction has removed all that stood in one of its leaves.
func pageKeys(history *bolt.Bucket, prefix []byte) (keys [][]byte, err error) {
	for k := range entries(history, prefix, prefix, &err) {
		keys = append(keys, bytes.Clone(k))
	}
	return keys, err
}
