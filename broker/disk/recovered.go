package disk

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/broker"
)

// recovered is what the log had at the start that the database had not. A start does not wait for a checkpoint
// of it: the checkpointer makes one first of all, and until then Load puts both together.
type recovered struct {
	generation uint64   // in which it was written
	batches    []*batch // safe
	bytes      int      // of them
	last       uint64   // number of the last one
	deltas     deltas   // all of them, by channel
}

// of returns what the log had of a channel and the database, as tx sees it, has not; nil: nothing.
func (r *recovered) of(tx *bolt.Tx, channel string) (*delta, error) {
	if r == nil {
		return nil, nil
	}
	s, _, err := readState(tx)
	if err != nil || s.stored >= r.last {
		return nil, err
	}
	return r.deltas[channel], nil
}

// fold brings what the database has of a channel up to date, as a checkpoint would; false if nothing is left.
func (d *delta) fold(kept *broker.Kept) bool {
	if d.reset {
		*kept = broker.Kept{}
	}
	if d.gone {
		return false
	}
	kept.Position = broker.Position{Epoch: d.epoch, Seq: d.seq}
	if d.alone {
		kept.Forks = nil
	}
	kept.Forks = append(kept.Forks, d.forks...)
	for i := range d.log {
		kept.Changes = append(kept.Changes, d.log[i].kept())
	}
	for _, k := range d.keys {
		kept.Keys = append(kept.Keys, broker.KeptKey{Key: string(k.key), Seq: k.seq, At: time.UnixMilli(k.at)})
	}
	d.foldItems(kept)
	return true
}

// foldItems keeps the order in which items came into being: that of their changes.
func (d *delta) foldItems(kept *broker.Kept) {
	if len(d.items) == 0 {
		return
	}
	there := make(map[string]bool)
	kept.Items = slices.DeleteFunc(kept.Items, func(i broker.KeptItem) bool {
		id := i.Group + "\x00" + i.Key
		c := d.items[id]
		there[id] = c != nil && c.set && !c.deleted
		return c != nil && !there[id]
	})
	for n, i := range kept.Items {
		if id := i.Group + "\x00" + i.Key; there[id] {
			kept.Items[n] = keptItem(i.Group, i.Key, d.items[id].ends, d.items[id].data)
		}
	}
	fresh := slices.SortedFunc(maps.Keys(d.items), func(a, b string) int { return cmp.Compare(d.items[a].born, d.items[b].born) })
	for _, id := range fresh {
		if c := d.items[id]; c.set && !there[id] {
			group, key, _ := strings.Cut(id, "\x00")
			kept.Items = append(kept.Items, keptItem(group, key, c.ends, c.data))
		}
	}
}
