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

// Fold brings what the database has of a channel up to date, as a checkpoint would; false if nothing is left. Errors: ErrCorrupt.
func (d *Delta) Fold(kept *broker.Kept) (bool, error) {
	if d.Reset {
		*kept = broker.Kept{}
	}
	if d.Gone {
		return false, nil
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
	return true, d.foldItems(kept)
}

// foldItems keeps the order in which items came into being: that of their changes.
func (d *Delta) foldItems(kept *broker.Kept) error {
	if len(d.Items) == 0 {
		return nil
	}
	there := make(map[string]bool)
	kept.Items = slices.DeleteFunc(kept.Items, func(i broker.KeptItem) bool {
		id := i.Group + "\x00" + i.Key
		c := d.Items[id]
		there[id] = c != nil && c.There() && !c.Deleted
		return c != nil && !there[id]
	})
	for n, i := range kept.Items {
		if id := i.Group + "\x00" + i.Key; there[id] {
			data, ends, err := d.Items[id].Value(i.Data, millis(i.Ends))
			if err != nil {
				return err
			}
			kept.Items[n] = KeptItem(i.Group, i.Key, ends, data)
		}
	}
	fresh := slices.SortedFunc(maps.Keys(d.Items), func(a, b string) int { return cmp.Compare(d.Items[a].Born, d.Items[b].Born) })
	for _, id := range fresh {
		if c := d.Items[id]; c.There() && !there[id] {
			data, ends, err := c.Value(nil, 0)
			if err != nil {
				return err
			}
			group, key, _ := strings.Cut(id, "\x00")
			kept.Items = append(kept.Items, KeptItem(group, key, ends, data))
		}
	}
	return nil
}

// millis is the end of a time to live in ms since 1970; 0: never.
func millis(ends time.Time) int64 {
	if ends.IsZero() {
		return 0
	}
	return ends.UnixMilli()
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
