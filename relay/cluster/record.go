package cluster

import (
	"encoding/binary"
	"errors"
	"time"
	"unsafe"

	"weir/broker"
)

// The kinds of records. Numbers are never used again for something else.
const (
	recForget   = 1  // drop all that I follow
	recFollow   = 2  // id, channel
	recUnfollow = 3  // id
	recKept     = 4  // id, existed, what there is
	recRefused  = 5  // id of a follow: somebody else owns the channel
	recChange   = 6  // id, seq, entry
	recAgain    = 7  // id of a follow: begin anew
	recPublish  = 8  // id, channel, publication
	recAnswer   = 9  // id, position
	recError    = 10 // id, code, text
	recCall     = 11 // id, kind, body
	recReply    = 12 // id, body
	recParts    = 13 // see partsBegin
)

// errRecord is why a record is not read: it is not what this version writes.
var errRecord = errors.New("malformed record")

// writer appends the parts of a record.
type writer []byte

func (w *writer) uint(v uint64)  { *w = binary.AppendUvarint(*w, v) }
func (w *writer) int(v int64)    { *w = binary.AppendVarint(*w, v) }
func (w *writer) byte(v byte)    { *w = append(*w, v) }
func (w *writer) text(v string)  { w.uint(uint64(len(v))); *w = append(*w, v...) }
func (w *writer) bytes(v []byte) { w.uint(uint64(len(v))); *w = append(*w, v...) }

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

// reader reads the parts of a record. What it returns shares the record's memory; after an error all is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() { r.b, r.err = nil, errRecord }

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool { return r.byte() == 1 }

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// text aliases the record: whoever keeps it clones it.
func (r *reader) text() string {
	v := r.bytes()
	return unsafe.String(unsafe.SliceData(v), len(v))
}

// count is the number of elements that follow, each of which takes a byte at least.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

// entry is a change on its way to a replica.
func (w *writer) entry(e *broker.Entry) {
	flags := byte(e.Op)
	if e.Expired {
		flags |= 1 << 4
	}
	w.byte(flags)
	w.text(e.Group)
	w.text(e.Key)
	w.bytes(e.Data)
	w.uint(uint64(e.TTL))
	w.text(e.IdempotencyKey)
	w.text(e.Exclude)
}

func (r *reader) entry() broker.Entry {
	flags := r.byte()
	return broker.Entry{Op: broker.Op(flags & 15), Expired: flags&(1<<4) != 0, Group: r.text(), Key: r.text(), Data: r.bytes(),
		TTL: time.Duration(r.uint()), IdempotencyKey: r.text(), Exclude: r.text()}
}

func (w *writer) publication(p *broker.Publication) {
	w.byte(byte(p.Op))
	w.text(p.Group)
	w.text(p.Key)
	w.bytes(p.Data)
	w.uint(uint64(p.TTL))
	w.text(p.IdempotencyKey)
	w.text(p.Exclude)
}

func (r *reader) publication() broker.Publication {
	p := broker.Publication{Op: broker.Op(r.byte()), Group: r.text(), Key: r.text(), Data: r.bytes(),
		TTL: time.Duration(r.uint()), IdempotencyKey: r.text(), Exclude: r.text()}
	if len(p.Data) == 0 {
		p.Data = nil
	}
	return p
}

// kept is what there is of a channel. Times are told as what has passed since it was read, so that no clock matters but the reader's.
func (w *writer) kept(k *broker.Kept) {
	ago := func(at time.Time) { w.int(int64(k.Read.Sub(at))) }
	w.text(k.Position.Epoch)
	w.uint(k.Position.Seq)
	w.uint(uint64(len(k.Forks)))
	for _, f := range k.Forks {
		w.text(f.Epoch)
		w.uint(f.Seq)
	}
	w.uint(uint64(len(k.Changes)))
	for i := range k.Changes {
		c := &k.Changes[i]
		flags := byte(c.Op)
		if c.Expired {
			flags |= 1 << 4
		}
		w.byte(flags)
		w.text(c.Group)
		w.text(c.Key)
		w.bytes(c.Data)
		ago(c.At)
	}
	w.uint(uint64(len(k.Items)))
	for i := range k.Items {
		item := &k.Items[i]
		w.text(item.Group)
		w.text(item.Key)
		w.bytes(item.Data)
		w.bool(!item.Ends.IsZero())
		if !item.Ends.IsZero() {
			ago(item.Ends)
		}
	}
	w.uint(uint64(len(k.Keys)))
	for i := range k.Keys {
		w.text(k.Keys[i].Key)
		w.uint(k.Keys[i].Seq)
		ago(k.Keys[i].At)
	}
}

// kept has memory of its own: the broker keeps it.
func (r *reader) kept() broker.Kept {
	r.b = append([]byte(nil), r.b...)
	k := broker.Kept{Read: time.Now()}
	at := func() time.Time { return k.Read.Add(-time.Duration(r.int())) }
	k.Position = broker.Position{Epoch: r.text(), Seq: r.uint()}
	for range r.count() {
		k.Forks = append(k.Forks, broker.Fork{Epoch: r.text(), Seq: r.uint()})
	}
	n := r.count()
	k.Changes = make([]broker.KeptChange, 0, n)
	for range n {
		flags := r.byte()
		k.Changes = append(k.Changes, broker.KeptChange{Op: broker.Op(flags & 15), Expired: flags&(1<<4) != 0, Group: r.text(), Key: r.text(), Data: r.bytes(), At: at()})
	}
	for range r.count() {
		item := broker.KeptItem{Group: r.text(), Key: r.text(), Data: r.bytes()}
		if r.bool() {
			item.Ends = at()
		}
		k.Items = append(k.Items, item)
	}
	for range r.count() {
		k.Keys = append(k.Keys, broker.KeptKey{Key: r.text(), Seq: r.uint(), At: at()})
	}
	return k
}
