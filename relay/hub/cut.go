package hub

import (
	"slices"

	"weir/batch"
	"weir/pool"
)

// cut is the messages of a batch that are of some groups (all if nil) and that a receiver may get.
type cut struct {
	groups   []string
	key      string // of the item; "": any
	receiver string
	body     []byte // the messages, separated by commas
	count    int
}

// has reports whether a message is one of them.
func (c *cut) has(e *batch.Entry) bool {
	return (c.groups == nil || slices.Contains(c.groups, e.Group)) && (c.key == "" || e.Key == c.key) && (c.receiver == "" || e.Exclude != c.receiver)
}

func (c *cut) each(b *batch.Batch, f func(batch.Entry)) {
	b.Each(func(e batch.Entry) {
		if c.has(&e) {
			f(e)
		}
	})
}

// pick gathers the messages of a cut.
func pick(b *batch.Batch, c cut) cut {
	if c.groups == nil && c.key == "" && c.receiver == "" {
		return cut{body: b.Body, count: b.Count}
	}
	c.each(b, func(e batch.Entry) {
		if c.count > 0 {
			c.body = append(c.body, ',')
		}
		c.body = append(c.body, e.Bytes...)
		c.count++
	})
	return c
}

// exclude gives every connection that must not see all of a batch a frame of its own. sets is the batch for those that know no appends; nil: it
// has none, or there are no such connections.
func (f *Fanout) exclude(frame *pool.Frame, b, sets *batch.Batch, part cut) {
	done := make(map[string]struct{}, 4)
	b.Each(func(e batch.Entry) {
		if e.Exclude == "" {
			return
		}
		if _, known := done[e.Exclude]; known {
			return
		}
		done[e.Exclude] = struct{}{}
		conn, enc := f.hub.Find(e.Exclude)
		if conn == nil {
			return
		}
		override := pool.Override{Conn: conn}
		c, b := part, b
		c.receiver = e.Exclude
		if b.Grows && !conn.Knows(pool.Appends) {
			if b = sets; b == nil {
				return // it does not follow this
			}
		}
		if enc >= firstDialect {
			override.Bytes = f.tell(enc, b).of(b, &c)
			override.Count = c.count
		} else if c = pick(b, c); c.count > 0 {
			override.Bytes, override.Count = f.encode(enc, b, &c), c.count
		}
		frame.Overrides = append(frame.Overrides, override)
	})
}
