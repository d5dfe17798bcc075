package broker

import (
	"bytes"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// Position is where in a channel's log a reader stands: after change Seq of log Epoch. Seq grows by
// one for each change; Epoch changes when the log was lost.
type Position struct {
	Epoch string
	Seq   uint64
}

// Op is what a change does.
type Op uint8

// The operations.
const (
	Set    Op = iota // gives an item its data, and its time to live if there is one
	Delete           // removes an item
	Send             // an event that leaves no item behind
	Append           // puts text behind an item's, or makes an item of it
)

var opNames = [...]string{Set: "set", Delete: "delete", Send: "send", Append: "append"}

// String returns "set", "delete", "send" or "append".
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "op(" + strconv.Itoa(int(o)) + ")"
}

// ParseOp reads what String returns; false if it is no operation.
func ParseOp[T string | []byte](text T) (Op, bool) {
	i := slices.Index(opNames[:], string(text))
	return Op(max(i, 0)), i >= 0
}

// defaultGroup is the group of a key that comes without one.
const defaultGroup = "items"

// Publication is what a publisher asks for. The broker keeps none of its memory: Data is copied, and
// strings may alias buffers that are used again afterwards.
type Publication struct {
	Op             Op
	Group, Key     string        // all but Send need a key; a key without a group is in defaultGroup
	Data           []byte        // valid JSON; a Set without any stores null; of an Append a string
	Form           Form          // Set: what Data was made from; nil: it is not known. With it, Key is kept as it is
	TTL            time.Duration // Set: how long the item lives; 0 for ever, even if it had a limit before. Append: the same, but 0 is as before
	Offset         uint64        // Append, with HasOffset: how many code points the text must have
	HasOffset      bool
	IdempotencyKey string // the same key within the policy's time returns the first position and changes nothing
	Exclude        string // connection id that must not get the change live
	Ack            Ack    // what Publish waits for
	Trace          string // traceparent that goes along to other processes, which does not alias anything; "": it is not traced
}

// Form is what a JSON object is made from whenever it is wanted, and takes less room than it. In memory an item keeps its form in the place of its
// data. It does not change any more, and is read in any goroutine.
type Form interface {
	AppendTo(dst []byte) []byte
}

// Ack is how safe a change is when Publish returns.
type Ack uint8

// The levels.
const (
	AckDefault Ack = iota // as safe as the channel's journal makes it
	AckMemory             // applied: it may still be lost
)

// check returns what is wrong with the publication; nil: nothing.
func (p *Publication) check() error {
	switch {
	case p.Op > Append:
		return ErrOp
	case p.Key == "" && p.Op != Send:
		return ErrNoKey
	case p.TTL < 0:
		return ErrTTL
	case p.Op == Append && (len(p.Data) < 2 || p.Data[0] != '"'):
		return ErrText
	case p.Ack > AckMemory:
		return ErrAck
	}
	return nil
}

// entry is the publication on its way through the journal.
func (p *Publication) entry() Entry {
	e := Entry{
		Op: p.Op, Group: p.Group, Key: p.Key, Data: p.Data, Form: p.Form, TTL: p.TTL,
		IdempotencyKey: p.IdempotencyKey, Exclude: p.Exclude, Ack: p.Ack, Trace: p.Trace,
	}
	if e.Group == "" && e.Key != "" {
		e.Group = defaultGroup
	}
	if e.Op == Set && len(e.Data) == 0 {
		e.Data = []byte(null)
	}
	return e
}

// Change is an applied entry of a channel's log. Encoded, Group and Key are immutable and may be
// kept; the struct itself is used again by the broker.
type Change struct {
	Seq        uint64
	Op         Op
	Expired    bool // a Delete whose cause is the end of the item's time to live
	Created    bool // a Set or an Append of an item that was not there
	Group, Key string
	Encoded    []byte // {"seq":1,"op":"set","group":"g","key":"k","data":...}, a Delete by expiry with "cause":"expired"; what is absent is left out
	Exclude    string // connection id that must not get it; valid during the call only
	item       *item  // of an Append
}

// Text is what an Append has made of its item: the whole text, as a JSON string without its closing quote. It does not change any more. It is to be
// called during the call only.
func (c *Change) Text() []byte { return c.item.text() }

// Start is where in Encoded of an Append its text begins, behind the quote. The other quote and a brace are behind it.
func (c *Change) Start() int {
	return bytes.Index(c.Encoded, []byte(partData)) + len(partData) + len(`"`)
} // names hold no quotes

// The fixed parts of an encoded change. Its order is seq, op, group, key, data, cause.
const (
	partSeq     = `{"seq":`
	partGroup   = `,"group":"`
	partKey     = `,"key":"`
	partData    = `,"data":`
	partExpired = `,"cause":"expired"`
	partSet     = `,"op":"set"`
	partAppend  = `,"op":"append"`
	null        = `null`
)

func opPart(op Op) string {
	switch op {
	case Set:
		return partSet
	case Delete:
		return `,"op":"delete"`
	case Append:
		return partAppend
	}
	return `,"op":"send"`
}

// encodedSize is the number of bytes that encode appends.
func encodedSize(seq uint64, e *Entry) int {
	size := len(partSeq) + digits(seq) + len(opPart(e.Op)) + len("}")
	if e.Group != "" {
		size += len(partGroup) + len(e.Group) + 1
	}
	if e.Key != "" {
		size += len(partKey) + len(e.Key) + 1
	}
	if len(e.Data) > 0 && e.Op != Delete {
		size += len(partData) + len(e.Data)
	}
	if e.Expired {
		size += len(partExpired)
	}
	return size
}

func digits(n uint64) int {
	count := 1
	for ; n >= 10; n /= 10 {
		count++
	}
	return count
}

// span is a part of an encoded change.
type span struct{ from, size uint32 }

func (s span) of(encoded []byte) []byte { return encoded[s.from : s.from+s.size : s.from+s.size] }

// text returns the part as a string that shares the memory of encoded, which does not change any more.
func (s span) text(encoded []byte) string {
	if s.size == 0 {
		return ""
	}
	return unsafe.String(&encoded[s.from], int(s.size))
}

// encode appends the change and returns where group, key and data are in dst. Groups and keys hold no character that
// JSON escapes and data is JSON: all are appended as they are.
func encode(dst []byte, seq uint64, e *Entry) (encoded []byte, group, key, data span) {
	dst = append(dst, partSeq...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, opPart(e.Op)...)
	if e.Group != "" {
		dst = append(dst, partGroup...)
		group = span{uint32(len(dst)), uint32(len(e.Group))}
		dst = append(dst, e.Group...)
		dst = append(dst, '"')
	}
	if e.Key != "" {
		dst = append(dst, partKey...)
		key = span{uint32(len(dst)), uint32(len(e.Key))}
		dst = append(dst, e.Key...)
		dst = append(dst, '"')
	}
	if len(e.Data) > 0 && e.Op != Delete {
		dst = append(dst, partData...)
		data = span{uint32(len(dst)), uint32(len(e.Data))}
		dst = append(dst, e.Data...)
	}
	if e.Expired {
		dst = append(dst, partExpired...)
	}
	return append(dst, '}'), group, key, data
}
