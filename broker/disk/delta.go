package disk

import (
	"fmt"

	"weir/broker"
)

// delta is what happened to a channel since the last checkpoint: only what still counts.
type delta struct {
	policy broker.Policy
	reset  bool // what the database has of the channel is dropped first
	gone   bool // the channel was dropped, and nothing came after
	epoch  string
	seq    uint64
	forks  []broker.Fork
	alone  bool     // the forks that the database has do not count
	log    []change // the newest changes, up to seq
	items  map[string]*itemDelta
	keys   []keyDelta
}

// itemDelta is what becomes of an item. Its key in the map is group, NUL, key.
type itemDelta struct {
	deleted bool // what the database has of it is dropped
	set     bool
	born    uint64 // seq of the change that made it, if deleted; otherwise the database may know better
	ends    int64
	data    []byte
}

type keyDelta struct {
	seq uint64
	at  int64
	key []byte
}

// deltas are the channels that changed, by name.
type deltas map[string]*delta

// add takes the records of a batch. They must stay as they are.
func (d deltas) add(records []byte, policy func(string) broker.Policy) error {
	s := scanner{b: records}
	for {
		r, ok := s.record()
		if !ok {
			break
		}
		c := d[string(r.name)]
		if c == nil {
			name := string(r.name)
			c = &delta{policy: policy(name).Resolved()}
			d[name] = c
		}
		c.add(&r)
	}
	if s.fail {
		return fmt.Errorf("a record of the log: %w", ErrCorrupt)
	}
	return nil
}

func (c *delta) add(r *record) {
	switch r.kind {
	case kindForget:
		*c = delta{policy: c.policy, reset: true, gone: true}
	case kindSever:
		c.gone, c.epoch, c.seq = false, string(r.fresh), r.seq
		c.forks, c.alone = nil, true
	case kindFork:
		c.gone, c.epoch, c.seq = false, string(r.fresh), r.seq
		c.forks = append(c.forks, broker.Fork{Epoch: string(r.epoch), Seq: r.seq})
	case kindChange:
		if c.epoch != string(r.epoch) {
			c.epoch = string(r.epoch)
		}
		c.gone, c.seq = false, r.seq
		c.record(r)
	case kindNote:
		c.gone, c.epoch, c.seq = false, string(r.epoch), r.seq
		c.note(r.seq, r.at, r.idem)
	}
}

// note keeps an idempotency key.
func (c *delta) note(seq uint64, at int64, key []byte) {
	if len(key) == 0 || c.policy.Idempotency == 0 {
		return
	}
	if most := c.policy.IdempotencyKeys; most > 0 && len(c.keys) >= 2*most {
		c.keys = append(c.keys[:0], c.keys[len(c.keys)-most+1:]...)
	}
	c.keys = append(c.keys, keyDelta{seq, at, key})
}

func (c *delta) record(r *record) {
	if most := c.policy.History; most > 0 {
		if len(c.log) >= 2*most {
			c.log = append(c.log[:0], c.log[len(c.log)-most+1:]...)
		}
		c.log = append(c.log, r.change)
	}
	c.note(r.seq, r.change.at, r.idem)
	if r.change.op == broker.Send {
		return
	}
	if c.items == nil {
		c.items = make(map[string]*itemDelta)
	}
	id := string(r.change.group) + "\x00" + string(r.change.key)
	i := c.items[id]
	if i == nil {
		i = new(itemDelta)
		c.items[id] = i
	}
	if r.change.op == broker.Delete {
		*i = itemDelta{deleted: true}
		return
	}
	if !i.set {
		i.set, i.born = true, r.seq
	}
	i.data, i.ends = r.change.data, r.ends
}
