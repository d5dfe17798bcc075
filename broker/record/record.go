package record

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
	change Change
	ends   int64  // end of the item's time to live, in ms since 1970; 0: never
	idem   []byte // idempotency key
	at     int64  // note: when it came, in ms since 1970
}

// Change is what of a change is kept in a channel's history. Its byte slices alias what it was decoded
// from.
type Change struct {
	op      broker.Op
	expired bool
	At      int64 // ms since 1970
	group   []byte
	key     []byte
	data    []byte
	Raw     []byte // the encoding of it all
}

func AppendChange(b []byte, name string, at broker.Position, e *broker.Entry, now time.Time) []byte {
	b = append(b, kindChange)
	b = AppendText(b, name)
	b = AppendText(b, at.Epoch)
	b = binary.AppendUvarint(b, at.Seq)
	b = AppendBody(b, e, now)
	var ends int64
	if (e.Op == broker.Set || e.Op == broker.Append) && e.TTL > 0 {
		ends = max(1, now.UnixMilli()+min(int64(e.TTL+time.Millisecond-1), 1<<62)/int64(time.Millisecond))
	}
	b = binary.AppendUvarint(b, uint64(ends))
	return AppendText(b, e.IdempotencyKey)
}

func AppendBody(b []byte, e *broker.Entry, now time.Time) []byte {
	flags := byte(e.Op)
	if e.Expired {
		flags |= flagExpired
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(max(0, now.UnixMilli())))
	b = AppendText(b, e.Group)
	b = AppendText(b, e.Key)
	return AppendText(b, e.Data)
}

const flagExpired = 4

func AppendForget(b []byte, name string) []byte { return AppendText(append(b, kindForget), name) }

func AppendFork(b []byte, name string, old broker.Position, fresh string, severed bool) []byte {
	kind := byte(kindFork)
	if severed {
		kind = kindSever
	}
	b = AppendText(append(b, kind), name)
	b = AppendText(b, old.Epoch)
	b = binary.AppendUvarint(b, old.Seq)
	return AppendText(b, fresh)
}

func AppendNote(b []byte, name string, at broker.Position, key string, now time.Time) []byte {
	b = AppendText(append(b, kindNote), name)
	b = AppendText(b, at.Epoch)
	b = binary.AppendUvarint(b, at.Seq)
	b = binary.AppendUvarint(b, uint64(max(0, now.UnixMilli())))
	return AppendText(b, key)
}

func AppendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// Scanner reads what the functions above append. After a failure it returns zero values.
type Scanner struct {
	Rest []byte
	Fail bool
}

func (s *Scanner) byte() byte {
	if len(s.Rest) == 0 {
		s.Fail = true
		return 0
	}
	c := s.Rest[0]
	s.Rest = s.Rest[1:]
	return c
}

func (s *Scanner) Uint() uint64 {
	n, size := binary.Uvarint(s.Rest)
	if size <= 0 {
		s.Fail, s.Rest = true, nil
		return 0
	}
	s.Rest = s.Rest[size:]
	return n
}

// Millis is a time in ms since 1970, whatever stands there.
func (s *Scanner) Millis() int64 { return int64(s.Uint() & (1<<62 - 1)) }

func (s *Scanner) Text() []byte {
	n := s.Uint()
	if n > uint64(len(s.Rest)) {
		s.Fail, s.Rest = true, nil
		return nil
	}
	text := s.Rest[:n:n]
	s.Rest = s.Rest[n:]
	return text
}

func (s *Scanner) Body() (c Change) {
	from := s.Rest
	flags := s.byte()
	c.op, c.expired = broker.Op(flags&3), flags&flagExpired != 0
	if c.op > broker.Append || flags > 3|flagExpired {
		s.Fail = true
	}
	c.At = s.Millis()
	c.group, c.key, c.data = s.Text(), s.Text(), s.Text()
	c.Raw = from[:len(from)-len(s.Rest)]
	return c
}

// record reads the next record; false at the end, or if there is none to be read.
func (s *Scanner) record() (r record, ok bool) {
	if len(s.Rest) == 0 {
		return r, false
	}
	r.kind, r.name = s.byte(), s.Text()
	switch r.kind {
	case kindChange:
		r.epoch, r.seq = s.Text(), s.Uint()
		r.change = s.Body()
		r.ends = s.Millis()
		r.idem = s.Text()
	case kindForget:
	case kindFork, kindSever:
		r.epoch, r.seq, r.fresh = s.Text(), s.Uint(), s.Text()
	case kindNote:
		r.epoch, r.seq, r.at, r.idem = s.Text(), s.Uint(), s.Millis(), s.Text()
	default:
		s.Fail = true
	}
	return r, !s.Fail
}

var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal puts a checksum of key and value in front of the value.
func Seal(key, value []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(value)), sumOf(key, value)), value...)
}

func sumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, Castagnoli), Castagnoli, value)
}

// Opened decodes what was sealed under a key; false if it is not whole.
func Opened[T any](key, sealed []byte, decode func([]byte) (T, bool)) (v T, ok bool) {
	b, ok := Unseal(key, sealed)
	if !ok {
		return v, false
	}
	return decode(b)
}

// Unseal returns what was sealed, if it is whole.
func Unseal(key, sealed []byte) ([]byte, bool) {
	if len(sealed) < 4 {
		return nil, false
	}
	return sealed[4:], sumOf(key, sealed[4:]) == binary.LittleEndian.Uint32(sealed)
}
