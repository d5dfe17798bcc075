package disk

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"weir/broker"
)

// The kinds of a record.
const (
	kindChange = 1 // a channel's next change
	kindForget = 2 // all of a channel is dropped
	kindFork   = 3 // a channel goes on in another epoch
	kindNote   = 4 // an idempotency key came with what changed nothing
	kindSever  = 5 // kindFork, and no reader resumes from the epochs before
)

// record is an entry of the log. Its byte slices alias what it was decoded from.
type record struct {
	kind   byte
	name   []byte
	epoch  []byte // of the change; before the fork
	seq    uint64 // of the change; up to where the epochs agree
	fresh  []byte // fork: the new epoch
	change change
	ends   int64  // end of the item's time to live, in ms since 1970; 0: never
	idem   []byte // idempotency key
	at     int64  // note: when it came, in ms since 1970
}

// change is what of a change is kept in a channel's history. Its byte slices alias what it was decoded
// from.
type change struct {
	op      broker.Op
	expired bool
	at      int64 // ms since 1970
	group   []byte
	key     []byte
	data    []byte
	raw     []byte // the encoding of it all
}

func appendChange(b []byte, name string, at broker.Position, e *broker.Entry, now time.Time) []byte {
	b = append(b, kindChange)
	b = appendText(b, name)
	b = appendText(b, at.Epoch)
	b = binary.AppendUvarint(b, at.Seq)
	b = appendBody(b, e, now)
	var ends int64
	if e.Op == broker.Set && e.TTL > 0 {
		ends = max(1, now.UnixMilli()+min(int64(e.TTL+time.Millisecond-1), 1<<62)/int64(time.Millisecond))
	}
	b = binary.AppendUvarint(b, uint64(ends))
	return appendText(b, e.IdempotencyKey)
}

func appendBody(b []byte, e *broker.Entry, now time.Time) []byte {
	flags := byte(e.Op)
	if e.Expired {
		flags |= flagExpired
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(max(0, now.UnixMilli())))
	b = appendText(b, e.Group)
	b = appendText(b, e.Key)
	return appendText(b, e.Data)
}

const flagExpired = 4

func appendForget(b []byte, name string) []byte { return appendText(append(b, kindForget), name) }

func appendFork(b []byte, name string, old broker.Position, fresh string, severed bool) []byte {
	kind := byte(kindFork)
	if severed {
		kind = kindSever
	}
	b = appendText(append(b, kind), name)
	b = appendText(b, old.Epoch)
	b = binary.AppendUvarint(b, old.Seq)
	return appendText(b, fresh)
}

func appendNote(b []byte, name string, at broker.Position, key string, now time.Time) []byte {
	b = appendText(append(b, kindNote), name)
	b = appendText(b, at.Epoch)
	b = binary.AppendUvarint(b, at.Seq)
	b = binary.AppendUvarint(b, uint64(max(0, now.UnixMilli())))
	return appendText(b, key)
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// scanner reads what the functions above append. After a failure it returns zero values.
type scanner struct {
	b    []byte
	fail bool
}

func (s *scanner) byte() byte {
	if len(s.b) == 0 {
		s.fail = true
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *scanner) uint() uint64 {
	n, size := binary.Uvarint(s.b)
	if size <= 0 {
		s.fail, s.b = true, nil
		return 0
	}
	s.b = s.b[size:]
	return n
}

// millis is a time in ms since 1970, whatever stands there.
func (s *scanner) millis() int64 { return int64(s.uint() & (1<<62 - 1)) }

func (s *scanner) text() []byte {
	n := s.uint()
	if n > uint64(len(s.b)) {
		s.fail, s.b = true, nil
		return nil
	}
	text := s.b[:n:n]
	s.b = s.b[n:]
	return text
}

func (s *scanner) body() (c change) {
	from := s.b
	flags := s.byte()
	c.op, c.expired = broker.Op(flags&3), flags&flagExpired != 0
	if c.op > broker.Send || flags > 3|flagExpired {
		s.fail = true
	}
	c.at = s.millis()
	c.group, c.key, c.data = s.text(), s.text(), s.text()
	c.raw = from[:len(from)-len(s.b)]
	return c
}

// record reads the next record; false at the end, or if there is none to be read.
func (s *scanner) record() (r record, ok bool) {
	if len(s.b) == 0 {
		return r, false
	}
	r.kind, r.name = s.byte(), s.text()
	switch r.kind {
	case kindChange:
		r.epoch, r.seq = s.text(), s.uint()
		r.change = s.body()
		r.ends = s.millis()
		r.idem = s.text()
	case kindForget:
	case kindFork, kindSever:
		r.epoch, r.seq, r.fresh = s.text(), s.uint(), s.text()
	case kindNote:
		r.epoch, r.seq, r.at, r.idem = s.text(), s.uint(), s.millis(), s.text()
	default:
		s.fail = true
	}
	return r, !s.fail
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts a checksum of key and value in front of the value.
func seal(key, value []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(value)), sumOf(key, value)), value...)
}

func sumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// opened decodes what was sealed under a key; false if it is not whole.
func opened[T any](key, sealed []byte, decode func([]byte) (T, bool)) (v T, ok bool) {
	b, ok := unseal(key, sealed)
	if !ok {
		return v, false
	}
	return decode(b)
}

// unseal returns what was sealed, if it is whole.
func unseal(key, sealed []byte) ([]byte, bool) {
	if len(sealed) < 4 {
		return nil, false
	}
	return sealed[4:], sumOf(key, sealed[4:]) == binary.LittleEndian.Uint32(sealed)
}
