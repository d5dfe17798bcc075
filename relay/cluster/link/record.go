package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
	"unsafe"

	"weir/broker"
)

// The kinds of records. Numbers are never used again for something else.
const (
	Forget   = 1  // drop all that I follow
	Follow   = 2  // id, channel, and where it stands if that is known
	Unfollow = 3  // id
	Kept     = 4  // id, existed, what there is
	Refused  = 5  // id of a follow: somebody else owns the channel
	Change   = 6  // id, seq, entry
	Again    = 7  // id of a follow: begin anew
	Publish  = 8  // id, channel, publication
	Answer   = 9  // id, position
	Error    = 10 // id, code, text
	Call     = 11 // id, kind, body
	Reply    = 12 // id, body
	Parts    = 13 // see parts.Record
	Missed   = 14 // as Kept, in answer to a Follow with a position: what has come since
)

// ErrRecord means that a record cannot be read: this version does not write such records.
var ErrRecord = errors.New("malformed record")

// Writer appends the parts of a record.
type Writer []byte

// Uint appends a number. Reader.Uint reads it, as methods of Reader with the same names read what the other methods append.
func (w *Writer) Uint(v uint64) { *w = binary.AppendUvarint(*w, v) }
func (w *Writer) int(v int64)   { *w = binary.AppendVarint(*w, v) }

// Byte appends a byte.
func (w *Writer) Byte(v byte) { *w = append(*w, v) }

// Text appends a length and the text.
func (w *Writer) Text(v string) { w.Uint(uint64(len(v))); *w = append(*w, v...) }

// Bytes appends a length and the bytes.
func (w *Writer) Bytes(v []byte) { w.Uint(uint64(len(v))); *w = append(*w, v...) }

// Bool appends a byte: 1 or 0.
func (w *Writer) Bool(v bool) {
	if v {
		w.Byte(1)
	} else {
		w.Byte(0)
	}
}

// Reader reads the parts of a record. What it returns shares the memory of the record. After an error it returns zero values.
type Reader struct {
	Rest []byte
	Err  error
}

func (r *Reader) fail() { r.Rest, r.Err = nil, ErrRecord }

// Uint reads a number. If there is none, it returns 0 and sets Err, as the methods below do.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.Rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

func (r *Reader) int() int64 {
	v, n := binary.Varint(r.Rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if len(r.Rest) == 0 {
		r.fail()
		return 0
	}
	v := r.Rest[0]
	r.Rest = r.Rest[1:]
	return v
}

// Bool reads what Writer.Bool has written.
func (r *Reader) Bool() bool { return r.Byte() == 1 }

// Bytes reads bytes, which alias the record.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.Rest)) {
		r.fail()
		return nil
	}
	v := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return v
}

// Text reads a text, which shares the memory of the record: a caller that keeps it clones it.
func (r *Reader) Text() string {
	v := r.Bytes()
	return unsafe.String(unsafe.SliceData(v), len(v))
}

// Count reads the number of elements that follow. Each of them takes at least a byte, so that a damaged number is not believed.
func (r *Reader) Count() int {
	n := r.Uint()
	if n > uint64(len(r.Rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

// traced says that a traceparent stands at the end.
const traced = 1 << 5

// trace appends a traceparent that flags have.
func (w *Writer) trace(flags byte, parent string) {
	if flags&traced != 0 {
		w.Text(parent)
	}
}

// trace has memory of its own.
func (r *Reader) trace(flags byte) string {
	if flags&traced == 0 {
		return ""
	}
	return strings.Clone(r.Text())
}

// Entry appends a change on its way to a replica.
func (w *Writer) Entry(e *broker.Entry) {
	flags := byte(e.Op)
	if e.Expired {
		flags |= 1 << 4
	}
	if e.Trace != "" {
		flags |= traced
	}
	w.Byte(flags)
	w.Text(e.Group)
	w.Text(e.Key)
	w.Bytes(e.Data)
	w.Uint(uint64(e.TTL))
	w.Text(e.IdempotencyKey)
	w.Text(e.Exclude)
	w.trace(flags, e.Trace)
}

// Entry reads what Writer.Entry has written.
func (r *Reader) Entry() broker.Entry {
	flags := r.Byte()
	return broker.Entry{Op: broker.Op(flags & 15), Expired: flags&(1<<4) != 0, Group: r.Text(), Key: r.Text(), Data: r.Bytes(),
		TTL: time.Duration(r.Uint()), IdempotencyKey: r.Text(), Exclude: r.Text(), Trace: r.trace(flags)}
}

// ackMemory says that the publisher does not wait for the store.
const ackMemory = 1 << 4

// Publication appends a publication, with its acknowledgement level if the channel is durable.
func (w *Writer) Publication(p *broker.Publication, durable bool) {
	flags := byte(p.Op)
	if durable && p.Ack == broker.AckMemory {
		flags |= ackMemory
	}
	if p.Trace != "" {
		flags |= traced
	}
	w.Byte(flags)
	w.Text(p.Group)
	w.Text(p.Key)
	w.Bytes(p.Data)
	w.Uint(uint64(p.TTL))
	w.Text(p.IdempotencyKey)
	w.Text(p.Exclude)
	if p.Op == broker.Append {
		w.Bool(p.HasOffset)
		w.Uint(p.Offset)
	}
	w.trace(flags, p.Trace)
}

// Publication reads what Writer.Publication has written.
func (r *Reader) Publication() broker.Publication {
	flags := r.Byte()
	p := broker.Publication{Op: broker.Op(flags &^ (ackMemory | traced)), Group: r.Text(), Key: r.Text(), Data: r.Bytes(),
		TTL: time.Duration(r.Uint()), IdempotencyKey: r.Text(), Exclude: r.Text()}
	if len(p.Data) == 0 {
		p.Data = nil
	}
	if flags&ackMemory != 0 {
		p.Ack = broker.AckMemory
	}
	if p.Op == broker.Append {
		p.HasOffset, p.Offset = r.Bool(), r.Uint()
	}
	p.Trace = r.trace(flags)
	return p
}

// Position appends a position.
func (w *Writer) Position(at broker.Position) {
	w.Text(at.Epoch)
	w.Uint(at.Seq)
}

// Position reads what Writer.Position has written.
func (r *Reader) Position() broker.Position { return broker.Position{Epoch: r.Text(), Seq: r.Uint()} }

// Kept appends the state of a channel. Times are written as ages, so that only the reader's clock matters.
func (w *Writer) Kept(k *broker.Kept) {
	size := 64 // about, so that what is large is not moved again and again
	for i := range k.Changes {
		size += len(k.Changes[i].Group) + len(k.Changes[i].Key) + len(k.Changes[i].Data) + 16
	}
	for i := range k.Items {
		size += len(k.Items[i].Group) + len(k.Items[i].Key) + len(k.Items[i].Data) + 16
	}
	for i := range k.Keys {
		size += len(k.Keys[i].Key) + 16
	}
	*w = slices.Grow(*w, size)
	ago := func(at time.Time) { w.int(int64(k.Read.Sub(at))) }
	w.Position(k.Position)
	w.Uint(uint64(len(k.Forks)))
	for _, f := range k.Forks {
		w.Text(f.Epoch)
		w.Uint(f.Seq)
	}
	w.Uint(uint64(len(k.Changes)))
	for i := range k.Changes {
		c := &k.Changes[i]
		flags := byte(c.Op)
		if c.Expired {
			flags |= 1 << 4
		}
		w.Byte(flags)
		w.Text(c.Group)
		w.Text(c.Key)
		w.Bytes(c.Data)
		ago(c.At)
	}
	w.Uint(uint64(len(k.Items)))
	for i := range k.Items {
		item := &k.Items[i]
		w.Text(item.Group)
		w.Text(item.Key)
		w.Bytes(item.Data)
		w.Bool(!item.Ends.IsZero())
		if !item.Ends.IsZero() {
			ago(item.Ends)
		}
	}
	w.Uint(uint64(len(k.Keys)))
	for i := range k.Keys {
		w.Text(k.Keys[i].Key)
		w.Uint(k.Keys[i].Seq)
		ago(k.Keys[i].At)
	}
}

// Kept reads what Writer.Kept has written. Its memory is its own, and no larger than needed: the broker keeps it.
func (r *Reader) Kept() broker.Kept {
	rest := r.Rest
	r.kept() // or nobody knows where it ends
	own := Reader{Rest: bytes.Clone(rest[:len(rest)-len(r.Rest)]), Err: r.Err}
	return own.kept()
}

// kept aliases the record.
func (r *Reader) kept() broker.Kept {
	k := broker.Kept{Read: time.Now()}
	at := func() time.Time { return k.Read.Add(-time.Duration(r.int())) }
	k.Position = r.Position()
	for range r.Count() {
		k.Forks = append(k.Forks, broker.Fork{Epoch: r.Text(), Seq: r.Uint()})
	}
	n := r.Count()
	k.Changes = make([]broker.KeptChange, 0, n)
	for range n {
		flags := r.Byte()
		k.Changes = append(k.Changes, broker.KeptChange{Op: broker.Op(flags & 15), Expired: flags&(1<<4) != 0, Group: r.Text(), Key: r.Text(), Data: r.Bytes(), At: at()})
	}
	for range r.Count() {
		item := broker.KeptItem{Group: r.Text(), Key: r.Text(), Data: r.Bytes()}
		if r.Bool() {
			item.Ends = at()
		}
		k.Items = append(k.Items, item)
	}
	for range r.Count() {
		k.Keys = append(k.Keys, broker.KeptKey{Key: r.Text(), Seq: r.Uint(), At: at()})
	}
	return k
}
