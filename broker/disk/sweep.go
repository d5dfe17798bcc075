package disk

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker/record"
)

// sweepStep is how many channels one look at the database covers.
const sweepStep = 2000

// graceTime is how long the position of an empty channel is kept at least, so that readers that come back know that
// they missed nothing.
const graceTime = 24 * time.Hour

// sweep looks at some channels from a place on, and drops histories that are too old and channels of which nothing is
// left. It returns the next place; nil at the end. Nothing is lost for a channel in memory: it has dropped the same
// itself.
func (j *Journal) sweep(place []byte) (next []byte) {
	var stale []string
	now := j.now()
	err := j.db.view(func(tx *bolt.Tx) (err error) {
		seen := 0
		for k := range entries(tx.Bucket(bucketChannels), place, nil, &err) {
			if seen++; seen > sweepStep {
				next = bytes.Clone(k)
				return nil
			}
			h, over, _, err := j.age(tx, string(k), now)
			if err == nil && h.epoch == "" {
				err = fmt.Errorf("the channel is stored under the wrong key: %w", ErrCorrupt)
			}
			switch {
			case err != nil:
				j.tell(string(k), err)
			case over:
				stale = append(stale, string(k))
			}
		}
		return err
	})
	if err == nil && len(stale) > 0 {
		err = j.db.update(func(tx *bolt.Tx) error { return j.dropStale(tx, stale, now) })
	}
	if err != nil {
		j.config.Log.Error("old histories and channels cannot be dropped", slog.String("error", err.Error()))
	}
	j.db.relax()
	return next
}

// tell logs, once, a channel that the sweep has found damaged, before a client asks for it.
func (j *Journal) tell(name string, err error) {
	if j.swept[name] {
		return
	}
	j.swept[name] = true
	j.count(&j.counts.Damaged)
	j.config.Log.Error("a stored channel is damaged", slog.String("channel", name), slog.String("error", err.Error()))
}

// age reports whether a channel has anything to be dropped, and whether that is all of it.
func (j *Journal) age(tx *bolt.Tx, name string, now time.Time) (h header, over, gone bool, err error) {
	h, ok, err := readHeader(tx.Bucket(bucketChannels), name)
	if err != nil || !ok {
		return h, false, false, err
	}
	policy := j.config.Policy(name).Resolved()
	idle := now.Sub(time.UnixMilli(h.last))
	aged, empty := policy.HistoryTTL > 0 && idle > policy.HistoryTTL, h.first > h.seq
	gone = (aged || empty) && idle > graceTime && !j.live(tx, name, &h, now)
	return h, gone || aged && !empty, gone, nil
}

// live reports whether a channel has an item whose time has not passed.
func (j *Journal) live(tx *bolt.Tx, name string, h *header, now time.Time) bool {
	if h.items == 0 {
		return false
	}
	prefix := prefixOf(name)
	var err error
	for k, sealed := range entries(tx.Bucket(bucketItems), prefix, prefix, &err) {
		i, ok := record.Opened(k, sealed, decodeItem)
		if !ok || i.ends == 0 || i.ends > now.UnixMilli() {
			return true
		}
	}
	return err != nil // damaged: a load reports it
}

// dropStale drops what is too old of some channels. Those that changed meanwhile are left alone.
func (j *Journal) dropStale(tx *bolt.Tx, names []string, now time.Time) error {
	w := newWriter(tx, j.generation, now)
	for _, name := range names {
		h, over, gone, err := j.age(tx, name, now)
		if err != nil || !over || !j.Release(name) {
			continue
		}
		if gone {
			if err := w.drop(name); err != nil {
				return err
			}
			continue
		}
		policy := j.config.Policy(name).Resolved()
		if err := w.trimHistory(name, &h, &policy); err != nil {
			return err
		}
		if err := w.channels.Put([]byte(name), record.Seal([]byte(name), h.encode())); err != nil {
			return err
		}
	}
	return nil
}
