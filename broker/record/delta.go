package record

import (
	"fmt"

	"weir/broker"
)

// Delta is what happened to a channel since the last checkpoint: only what still counts.
type Delta struct {
	Policy broker.Policy
	Reset  bool // what the database has of the channel is dropped first
	Gone   bool // the channel was dropped, and nothing came after
	Epoch  string
	Seq    uint64
	Forks  []broker.Fork
	Alone  bool     // the forks that the database has do not count
	Log    []Change // the newest changes, up to seq
	Items  map[string]*ItemDelta
	Keys   []keyDelta
	begun  bool
	before uint64 // where the channel was before the first record, unless that has dropped it
}

type keyDelta struct {
	Seq uint64
	At  int64
	Key []byte
}

// Deltas are the channels that changed, by name.
type Deltas map[string]*Delta

// Add takes the records of a batch. They must stay as they are.
func (d Deltas) Add(records []byte, policy func(string) broker.Policy) error {
	s := Scanner{Rest: records}
	for {
		r, ok := s.record()
		if !ok {
			break
		}
		c := d[string(r.name)]
		if c == nil {
			name := string(r.name)
			c = &Delta{Policy: policy(name).Resolved()}
			d[name] = c
		}
		c.add(&r)
	}
	if s.Fail {
		return fmt.Errorf("a record of the log: %w", ErrCorrupt)
	}
	return nil
}

func (d *Delta) add(r *record) {
	if !d.begun {
		d.begun, d.before = true, r.seq
		if r.kind == kindChange {
			d.before--
		}
	}
	switch r.kind {
	case kindForget:
		*d = Delta{Policy: d.Policy, Reset: true, Gone: true, begun: true}
	case kindSever:
		d.Gone, d.Epoch, d.Seq = false, string(r.fresh), r.seq
		d.Forks, d.Alone = nil, true
	case kindFork:
		d.Gone, d.Epoch, d.Seq = false, string(r.fresh), r.seq
		d.Forks = append(d.Forks, broker.Fork{Epoch: string(r.epoch), Seq: r.seq})
	case kindChange:
		if d.Epoch != string(r.epoch) {
			d.Epoch = string(r.epoch)
		}
		d.Gone, d.Seq = false, r.seq
		d.record(r)
	case kindNote:
		d.Gone, d.Epoch, d.Seq = false, string(r.epoch), r.seq
		d.Note(r.seq, r.at, r.idem)
	}
}

func (d *Delta) Note(seq uint64, at int64, key []byte) {
	if len(key) == 0 || d.Policy.Idempotency == 0 {
		return
	}
	if most := d.Policy.IdempotencyKeys; most > 0 && len(d.Keys) >= 2*most {
		d.Keys = append(d.Keys[:0], d.Keys[len(d.Keys)-most+1:]...)
	}
	d.Keys = append(d.Keys, keyDelta{seq, at, key})
}

func (d *Delta) record(r *record) {
	if most := d.Policy.History; most > 0 {
		if len(d.Log) >= 2*most {
			d.Log = append(d.Log[:0], d.Log[len(d.Log)-most+1:]...)
		}
		d.Log = append(d.Log, r.change)
	}
	d.Note(r.seq, r.change.At, r.idem)
	if r.change.op == broker.Send {
		return
	}
	if d.Items == nil {
		d.Items = make(map[string]*ItemDelta)
	}
	id := string(r.change.group) + "\x00" + string(r.change.key)
	i := d.Items[id]
	if i == nil {
		i = new(ItemDelta)
		d.Items[id] = i
	}
	i.add(r)
}

// Split calls f with the channel of each record and with its bytes, which alias records.
func Split(records []byte, f func(channel, one []byte)) error {
	s := Scanner{Rest: records}
	for len(s.Rest) > 0 {
		before := s.Rest
		r, ok := s.record()
		if !ok {
			return fmt.Errorf("a record of the log: %w", ErrCorrupt)
		}
		f(r.name, before[:len(before)-len(s.Rest)])
	}
	return nil
}

// Follows reports whether the records begin where a channel is that is at a sequence number; if not, some before them are missing.
func (d *Delta) Follows(seq uint64) bool { return d.Reset || !d.begun || d.before == seq }

// Take takes a record of the delta's channel. It must stay as it is.
func (d *Delta) Take(one []byte) error {
	s := Scanner{Rest: one}
	r, ok := s.record()
	if !ok {
		return fmt.Errorf("a record of the log: %w", ErrCorrupt)
	}
	d.add(&r)
	return nil
}
