package disk

import (
	"bytes"
	"encoding/binary"

	"weir/broker"
	"weir/broker/record"
)

// header is what the database has of a channel as a whole.
type header struct {
	generation uint64
	epoch      string
	seq        uint64
	first      uint64 // seq of the oldest change of the history; seq+1 if there is none
	items      uint64
	last       int64  // when the last change came, in ms since 1970
	keys       uint64 // idempotency keys
	forks      []broker.Fork
}

func (h *header) encode() []byte {
	b := binary.AppendUvarint(nil, h.generation)
	b = record.AppendText(b, h.epoch)
	for _, n := range []uint64{h.seq, h.first, h.items, uint64(h.last), h.keys, uint64(len(h.forks))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, f := range h.forks {
		b = record.AppendText(b, f.Epoch)
		b = binary.AppendUvarint(b, f.Seq)
	}
	return b
}

func decodeHeader(b []byte) (h header, ok bool) {
	s := record.Scanner{Rest: b}
	h.generation, h.epoch, h.seq = s.Uint(), string(s.Text()), s.Uint()
	h.first, h.items, h.last = s.Uint(), s.Uint(), s.Millis()
	h.keys = s.Uint()
	count := s.Uint()
	for ; count > 0 && !s.Fail; count-- {
		h.forks = append(h.forks, broker.Fork{Epoch: string(s.Text()), Seq: s.Uint()})
	}
	return h, !s.Fail && len(s.Rest) == 0 && h.epoch != "" && h.first <= h.seq+1
}

// storedItem is an item in the database, under channel, NUL, group, NUL, key.
type storedItem struct {
	born uint64 // seq of the change that made it
	ends int64  // ms since 1970; 0: never
	data []byte
}

func (i *storedItem) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 16+len(i.data)), i.born)
	b = binary.AppendUvarint(b, uint64(i.ends))
	return append(b, i.data...)
}

func decodeItem(b []byte) (i storedItem, ok bool) {
	s := record.Scanner{Rest: b}
	i.born, i.ends = s.Uint(), s.Millis()
	i.data = s.Rest
	return i, !s.Fail
}

// The value of an idempotency key in the database is when it came, in ms since 1970.
func encodeTime(at int64) []byte { return binary.AppendUvarint(nil, uint64(max(0, at))) }

func decodeTime(b []byte) (at int64, ok bool) {
	s := record.Scanner{Rest: b}
	at = s.Millis()
	return at, !s.Fail && len(s.Rest) == 0
}

// pageSize is what a page of history holds at least before another one is begun, in bytes.
const pageSize = 4 << 10

// page is some changes of a history in the database, under channel, NUL, seq of the first.
type page struct {
	count int
	last  int64 // when the last one came
	body  []byte
}

func (p *page) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, 16+len(p.body)), uint64(p.count))
	b = binary.AppendUvarint(b, uint64(p.last))
	return append(b, p.body...)
}

func decodePage(b []byte) (p page, ok bool) {
	s := record.Scanner{Rest: b}
	count := s.Uint()
	p.last = s.Millis()
	p.body = s.Rest
	p.count = int(min(count, 1<<30))
	return p, !s.Fail && count <= uint64(len(s.Rest))
}

func (p *page) changes() (list []record.Change, ok bool) {
	s := record.Scanner{Rest: p.body}
	for len(s.Rest) > 0 && !s.Fail {
		list = append(list, s.Body())
	}
	return list, !s.Fail && len(list) == p.count
}

// The keys of the database. A channel's entries lie together, in the order of their seqs.
func prefixOf(channel string) []byte { return append([]byte(channel), 0) }

func seqKey(channel string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(prefixOf(channel), seq)
}

// idemOf returns the seq and the idempotency key in a key of the database: those of a channel lie in the order in which
// they came.
func idemOf(k, prefix []byte) (seq uint64, key []byte, ok bool) {
	rest, ok := bytes.CutPrefix(k, prefix)
	if !ok || len(rest) < 8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(rest), rest[8:], true
}

// seqOf is the seq in a key made by seqKey.
func seqOf(key, prefix []byte) (uint64, bool) {
	seq, rest, ok := idemOf(key, prefix)
	return seq, ok && len(rest) == 0
}
