package disk

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/broker"
	"weir/broker/record"
)

// Every decoder takes any bytes: it answers or refuses, and what it answers is encoded as it came.

func FuzzHeader(f *testing.F) {
	h := header{generation: 2, epoch: "e1", seq: 9, first: 3, items: 4, last: 5, keys: 6, forks: []broker.Fork{{Epoch: "e0", Seq: 2}}}
	f.Add(h.encode())
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := decodeHeader(b)
		if !ok {
			return
		}
		if again, ok := decodeHeader(h.encode()); !ok || !bytes.Equal(again.encode(), h.encode()) {
			t.Fatalf("%+v", h)
		}
	})
}

func FuzzValues(f *testing.F) {
	p := page{count: 1, last: 3, body: record.AppendBody(nil, &broker.Entry{Op: broker.Set, Group: "g", Key: "k", Data: []byte("1")}, time.UnixMilli(3))}
	f.Add(p.encode())
	f.Add((&storedItem{1, 2, []byte("3")}).encode())
	f.Add(encodeTime(5))
	f.Add((&state{stored: 1, generation: 2, clean: true, seal: 3, salt: 4, severed: 5}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := decodePage(b); ok {
			if list, ok := p.changes(); ok && len(list) != p.count {
				t.Fatalf("%d of %d changes", len(list), p.count)
			}
		}
		if i, ok := decodeItem(b); ok {
			if again, ok := decodeItem(i.encode()); !ok || !bytes.Equal(again.data, i.data) || again.ends != i.ends || again.born != i.born {
				t.Fatalf("%+v", i)
			}
		}
		if at, ok := decodeTime(b); ok && at < 0 {
			t.Fatal(at)
		}
		for _, version := range []string{oldVersion, formatVersion} {
			if s, ok := decodeState(b, version); ok {
				again, ok := decodeState(s.encode(), formatVersion)
				if again.format = version; !ok || again != s {
					t.Fatalf("%+v", s)
				}
			}
		}
		for _, k := range [][]byte{b, append([]byte("room:1\x00"), b...)} {
			_, _ = seqOf(k, []byte("room:1\x00"))
			_, _, _ = idemOf(k, []byte("room:1\x00"))
		}
		if v, ok := record.Unseal([]byte("k"), b); ok && !bytes.Equal(record.Seal([]byte("k"), v), b) {
			t.Fatalf("%q", b)
		}
	})
}

// FuzzRecords puts any records into deltas, and those over what a database has.
func FuzzRecords(f *testing.F) {
	b := record.AppendChange(nil, "room:1", broker.Position{Epoch: "e1", Seq: 4},
		&broker.Entry{Op: broker.Set, Group: "g", Key: "k", Data: []byte("1"), TTL: time.Second, IdempotencyKey: "once"}, time.UnixMilli(5))
	b = record.AppendNote(b, "room:1", broker.Position{Epoch: "e1", Seq: 4}, "twice", time.UnixMilli(6))
	b = record.AppendFork(b, "room:1", broker.Position{Epoch: "e1", Seq: 4}, "e2", false)
	b = record.AppendFork(b, "room:2", broker.Position{Epoch: "e1", Seq: 4}, "e2", true)
	f.Add(b)
	f.Add(record.AppendForget(b, "room:1"))
	f.Add(record.AppendChange(record.AppendForget(nil, "room:1"), "room:1", broker.Position{Epoch: "e3", Seq: 1}, &broker.Entry{Op: broker.Delete, Group: "g", Key: "k", Expired: true}, time.UnixMilli(7)))
	more := &broker.Entry{Op: broker.Append, Group: "g", Key: "k", Data: []byte(`"more"`), TTL: time.Second}
	f.Add(record.AppendChange(nil, "room:1", broker.Position{Epoch: "e1", Seq: 4}, more, time.UnixMilli(8)))
	f.Add(record.AppendChange(record.AppendForget(nil, "room:1"), "room:1", broker.Position{Epoch: "e3", Seq: 1}, more, time.UnixMilli(8)))
	policy := func(string) broker.Policy { return broker.Policy{History: 2, IdempotencyKeys: 2} }
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, policy := range []func(string) broker.Policy{policy, keepAll} {
			d := make(record.Deltas)
			if err := d.Add(b, policy); err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				continue
			}
			for _, c := range d {
				kept := broker.Kept{Items: []broker.KeptItem{{Group: "g", Key: "k", Data: []byte("0")}, {Group: "g", Key: "l", Data: []byte("1")}}}
				if ok, err := c.Fold(&kept); err != nil && !errors.Is(err, ErrCorrupt) || err == nil && ok == c.Gone {
					t.Fatalf("gone %v, %v", c.Gone, err)
				}
			}
		}
	})
}

// FuzzLog reads any bytes as a file of the log. Whole frames at the beginning are found, however it goes on.
func FuzzLog(f *testing.F) {
	whole := frames(7, entry{}, 1, 2)
	f.Add([]byte{})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), make([]byte, 100)...))
	f.Add(append(bytes.Clone(whole), frames(7, entry{2, 0}, 4)...))
	f.Add([]byte(strings.Repeat(record.FrameMagic, 10)))
	f.Fuzz(func(t *testing.T, tail []byte) {
		r := replayed{salt: 7}
		r.read("1.wal", append(bytes.Clone(whole), tail...), entry{})
		if len(r.batches) < 2 || r.last.number != uint64(len(r.batches)) || r.batches[0].number != 1 {
			t.Fatalf("%d batches up to %d", len(r.batches), r.last.number)
		}
		bytesFound := r.torn
		for _, b := range r.batches {
			bytesFound += len(b.frame)
		}
		if bytesFound > len(whole)+len(tail) {
			t.Fatalf("%d bytes of %d", bytesFound, len(whole)+len(tail))
		}
	})
}

// FuzzImport takes any bytes as an export: they are refused, or they can be exported again.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"type":"weir","version":1}
{"type":"channel","channel":"room:1","epoch":"e2","seq":5,"forks":[{"epoch":"e0","seq":3}]}
{"type":"change","op":"set","group":"g","key":"k","data":{"a":[1,2]},"at":"2026-01-02T03:04:05.678Z"}
{"type":"item","group":"g","key":"k","data":{"a":[1,2]},"ends":"2036-01-02T03:04:05.678Z"}
{"type":"key","seq":4,"key":"once","at":"2026-01-02T03:04:05.678Z"}
{"type":"end","channels":1}
`))
	f.Add([]byte(`{"type":"weir","version":1}` + "\n" + `{"type":"end"}`))
	f.Add([]byte(`{"type":"item"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newImporter(bytes.NewReader(b), func() {})
		_ = m.run(func() error {
			for name, d := range m.ready {
				if name == "" || d.Epoch == "" || uint64(len(d.Log)) > d.Seq {
					t.Fatalf("%q %+v", name, d)
				}
			}
			m.done += len(m.ready)
			m.ready = make(record.Deltas)
			return nil
		})
	})
}
