package storetest

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// step is a change as it is told to readers.
type step struct {
	Seq        uint64
	Op         string
	Group, Key string
	Data       json.RawMessage
	Cause      string
	ends       time.Time
	idem       string
}

func (s step) same(o step) bool {
	return s.Seq == o.Seq && s.Op == o.Op && s.Group == o.Group && s.Key == o.Key && string(s.Data) == string(o.Data) && s.Cause == o.Cause
}

// chanModel is what a channel should be.
type chanModel struct {
	name  string
	epoch string // "": it was never met, or dropped
	log   []step // all of it
	acked int    // so many of them cannot be lost
	keys  []known
}

// known is an idempotency key that must still be known.
type known struct {
	key string
	seq uint64
	at  time.Time
}

// state is a snapshot in a form that can be compared; keys of a group stay in their order.
func state(b []byte) string { return string(b) }

func (c *chanModel) head() uint64 { return uint64(len(c.log)) }

func (c *chanModel) kept() []step { return c.log[max(0, len(c.log)-modelHistory):] }

// value is a live item.
type value struct {
	data string
	ends time.Time
	born uint64
}

// items are the live items, by group/key.
func (c *chanModel) items() map[string]value {
	items := make(map[string]value)
	for _, s := range c.log {
		id := s.Group + "/" + s.Key
		switch s.Op {
		case "set":
			born := s.Seq
			if old, ok := items[id]; ok {
				born = old.born
			}
			items[id] = value{string(s.Data), s.ends, born}
		case "append":
			item, ok := items[id]
			if !ok {
				item = value{`""`, time.Time{}, s.Seq}
			}
			item.data = item.data[:len(item.data)-1] + string(s.Data[1:])
			if !s.ends.IsZero() {
				item.ends = s.ends
			}
			items[id] = item
		case "delete":
			delete(items, id)
		}
	}
	return items
}

// pass lets items end until now.
func (c *chanModel) pass(now time.Time) {
	for {
		next, ends := "", time.Time{}
		for id, i := range c.items() {
			if !i.ends.IsZero() && !i.ends.After(now) && (next == "" || i.ends.Before(ends)) {
				next, ends = id, i.ends
			}
		}
		if next == "" {
			return
		}
		c.log = append(c.log, step{Seq: c.head() + 1, Op: "delete", Group: next[:1], Key: next[2:], Cause: "expired", ends: ends})
	}
}

// endedSince reports whether the last change is the end of an item, then or later.
func (c *chanModel) endedSince(then time.Time) bool {
	n := len(c.log)
	return n > 0 && c.log[n-1].Cause == "expired" && !c.log[n-1].ends.Before(then)
}

// state is the snapshot as the broker encodes it.
func (c *chanModel) state() string {
	items, out := c.items(), "{"
	ids := slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		return int(items[a].born) - int(items[b].born)
	})
	for n, id := range ids {
		switch {
		case n == 0:
			out += `"` + id[:1] + `":{`
		case ids[n-1][0] != id[0]:
			out += `},"` + id[:1] + `":{`
		default:
			out += ","
		}
		out += `"` + id[2:] + `":` + items[id].data
	}
	if len(ids) > 0 {
		out += "}"
	}
	return out + "}"
}
