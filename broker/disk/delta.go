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

func (d *delta) add(r *record) {
	switch r.kind {
	case kindForget:
		*d = delta{policy: d.policy, reset: true, gone: true}
	case kindSever:
		d.gone, d.epoch, d.seq = false, string(r.fresh), r.seq
		d.forks, d.alone = nil, true
	case kindFork:
		d.gone, d.epoch, d.seq = false, string(r.fresh), r.seq
		d.forks = append(d.forks, broker.Fork{Epoch: string(r.epoch), Seq: r.seq})
	case kindChange:
		if d.epoch != string(r.epoch) {
			d.epoch = string(r.epoch)
		}
		d.gone, d.seq = false, r.seq
		d.record(r)
	case kindNote:
		d.gone, d.epoch, d.seq = false, string(r.epoch), r.seq
		d.note(r.seq, r.at, r.idem)
	}
}

func (d *delta) note(seq uint64, at int64, key []byte) {
	if len(key) == 0 || d.policy.Idempotency == 0 {
		return
	}
	if most := d.policy.IdempotencyKeys; most > 0 && len(d.keys) >= 2*most {
		d.keys = append(d.keys[:0], d.keys[len(d.keys)-most+1:]...)
	}
	d.keys = append(d.keys, keyDelta{seq, at, key})
}

func (d *delta) record(r *record) {
	if most := d.policy.History; most > 0 {
		if len(d.log) >= 2*most {
			d.log = append(d.log[:0], d.log[len(d.log)-most+1:]...)
		}
		d.log = append(d.log, r.change)
	}
	d.note(r.seq, r.change.at, r.idem)
	if r.change.op == broker.Send {
		return
	}
	if d.items == nil {
		d.items = make(map[string]*itemDelta)
	}
	id := string(r.change.group) + "\x00" + string(r.change.key)
	i := d.items[id]
	if i == nil {
		i = new(itemDelta)
		d.items[id] = i
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
