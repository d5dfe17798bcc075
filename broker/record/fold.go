package record

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/broker"
)

// Fold brings what the database has of a channel up to date, as a checkpoint would; false if nothing is left.
func (d *Delta) Fold(kept *broker.Kept) bool {
	if d.Reset {
		*kept = broker.Kept{}
	}
	if d.Gone {
		return false
	}
	kept.Position = broker.Position{Epoch: d.Epoch, Seq: d.Seq}
	if d.Alone {
		kept.Forks = nil
	}
	kept.Forks = append(kept.Forks, d.Forks...)
	for i := range d.Log {
		kept.Changes = append(kept.Changes, d.Log[i].Kept())
	}
	for _, k := range d.Keys {
		kept.Keys = append(kept.Keys, broker.KeptKey{Key: string(k.Key), Seq: k.Seq, At: time.UnixMilli(k.At)})
	}
	d.foldItems(kept)
	return true
}

// foldItems keeps the order in which items came into being: that of their changes.
func (d *Delta) foldItems(kept *broker.Kept) {
	if len(d.Items) == 0 {
		return
	}
	there := make(map[string]bool)
	kept.Items = slices.DeleteFunc(kept.Items, func(i broker.KeptItem) bool {
		id := i.Group + "\x00" + i.Key
		c := d.Items[id]
		there[id] = c != nil && c.Set && !c.Deleted
		return c != nil && !there[id]
	})
	for n, i := range kept.Items {
		if id := i.Group + "\x00" + i.Key; there[id] {
			kept.Items[n] = KeptItem(i.Group, i.Key, d.Items[id].Ends, d.Items[id].Data)
		}
	}
	fresh := slices.SortedFunc(maps.Keys(d.Items), func(a, b string) int { return cmp.Compare(d.Items[a].Born, d.Items[b].Born) })
	for _, id := range fresh {
		if c := d.Items[id]; c.Set && !there[id] {
			group, key, _ := strings.Cut(id, "\x00")
			kept.Items = append(kept.Items, KeptItem(group, key, c.Ends, c.Data))
		}
	}
}

// Kept is the change as the broker wants it. It does not alias.
func (c *Change) Kept() broker.KeptChange {
	return broker.KeptChange{Op: c.op, Expired: c.expired, Group: string(c.group), Key: string(c.key),
		Data: bytes.Clone(c.data), At: time.UnixMilli(c.At)}
}

// KeptItem is an item as the broker wants it. It does not alias.
func KeptItem(group, key string, ends int64, data []byte) broker.KeptItem {
	item := broker.KeptItem{Group: group, Key: key, Data: bytes.Clone(data)}
	if ends != 0 {
		item.Ends = time.UnixMilli(ends)
	}
	return item
}
