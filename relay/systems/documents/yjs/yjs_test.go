package yjs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// vector is the updates of a document that yjs made, and what yjs makes of them; see testdata/make.mjs.
type vector struct {
	Updates             [][]byte
	Merged, Half        []byte
	Vector, Since, Diff []byte
	State               []byte
}

func vectors(t testing.TB, f func(v vector)) {
	t.Helper()
	file, err := os.Open("testdata/updates.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<22)
	n := 0
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		f(v)
		n++
	}
	if lines.Err() != nil || n == 0 {
		t.Fatal(n, lines.Err())
	}
}

func parse(t testing.TB, b []byte) *Update {
	t.Helper()
	u, err := Parse(b)
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return u
}

func parseAll(t testing.TB, list [][]byte) []*Update {
	t.Helper()
	var out []*Update
	for _, b := range list {
		out = append(out, parse(t, b))
	}
	return out
}

// covered is what an update holds, whatever pieces it is cut into.
func covered(u *Update) map[uint64][]span {
	out := make(map[uint64][]span)
	for _, p := range u.clients {
		for _, x := range p.list {
			out[p.client] = append(out[p.client], span{x.clock, x.length})
		}
		out[p.client] = joined(out[p.client])
	}
	return out
}

// alike reports whether two updates hold the same, and where their pieces are cut alike, the same bytes. Content
// that one of them has and the other has collected as garbage is alike.
func alike(t *testing.T, what string, got, want *Update) {
	t.Helper()
	if !reflect.DeepEqual(covered(got), covered(want)) || !reflect.DeepEqual(got.deletes, want.deletes) {
		t.Fatalf("%s: %v and %v, want %v and %v", what, covered(got), got.deletes, covered(want), want.deletes)
	}
	type place struct{ client, clock, length uint64 }
	pieces := make(map[place]piece)
	for _, p := range want.clients {
		for _, x := range p.list {
			pieces[place{p.client, x.clock, x.length}] = x
		}
	}
	for _, p := range got.clients {
		for _, x := range p.list {
			y, ok := pieces[place{p.client, x.clock, x.length}]
			gone := func(k byte) bool { return k == kindGC || k == kindDeleted }
			half := func(p piece) bool { return bytes.Contains(p.raw, []byte("\uFFFD")) } // a client's own cut
			if ok && x.kind == y.kind && !gone(x.kind) && !half(x) && !half(y) && !bytes.Equal(x.append(nil), y.append(nil)) {
				t.Fatalf("%s: client %d at %d: %x, want %x", what, p.client, x.clock, x.append(nil), y.append(nil))
			}
		}
	}
}

func TestAsYjs(t *testing.T) {
	bytewise := 0
	vectors(t, func(v vector) {
		all := parseAll(t, v.Updates)
		merged := Merge(all...)
		alike(t, "merged", merged, parse(t, v.Merged))
		alike(t, "read back", parse(t, merged.Append(nil)), merged)
		alike(t, "half of them", Merge(all[len(all)/2:]...), parse(t, v.Half))
		alike(t, "merged step by step", step(t, v.Updates), parse(t, v.Merged))
		if bytes.Equal(merged.Append(nil), v.Merged) {
			bytewise++
		}
		want, err := ParseStateVector(v.Vector)
		if err != nil || !reflect.DeepEqual(merged.vector(), want) {
			t.Fatal(merged.vector(), want, err)
		}
		if back, err := ParseStateVector(want.Append(nil)); err != nil || !reflect.DeepEqual(back, want) {
			t.Fatal(back, err)
		}
		since, err := ParseStateVector(v.Since)
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "since", merged.Since(since), parse(t, v.Diff))
		if whole := Merge(merged, parse(t, v.State)); !reflect.DeepEqual(covered(whole), covered(merged)) { // who integrates deletes more
			t.Fatal("the state of a client is more than all updates")
		}
	})
	if bytewise < 40 { // where nothing overlaps, the bytes are those of yjs
		t.Errorf("%d are the same byte for byte", bytewise)
	}
}

// step merges one update after the other, through bytes, as a document does that is compacted often.
func step(t *testing.T, updates [][]byte) *Update {
	u := parse(t, updates[0])
	for _, b := range updates[1:] {
		u = parse(t, Merge(u, parse(t, b)).Append(nil))
	}
	return u
}

func TestState(t *testing.T) {
	vectors(t, func(v vector) {
		all := parseAll(t, v.Updates)
		s := NewState(Merge())
		var kept []*Update
		for _, u := range all {
			if s.Add(u) {
				kept = append(kept, u)
			}
			if s.Gaps() {
				s = NewState(Merge(kept...))
			}
			if s.Add(u) && !s.Gaps() {
				t.Fatal("an update is new twice")
			}
		}
		alike(t, "without what is not new", Merge(kept...), Merge(all...))
		if !s.Gaps() && !reflect.DeepEqual(s.Vector(), Merge(all...).vector()) {
			t.Fatal(s.Vector(), Merge(all...).vector())
		}
	})
}

func TestMessages(t *testing.T) {
	for _, m := range []Message{{Sync, Step1, []byte{0}}, {Sync, Step3, []byte("update")}, {Awareness, 0, []byte{0}}} {
		b := AppendSync(nil, byte(m.Step), m.Body)
		if m.Type == Awareness {
			b = AppendAwareness(nil, nil)
		}
		got, err := ParseMessage(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%x: %v %v", b, got, err)
		}
	}
	list := []Presence{{1, 2, []byte(`{"a":1}`)}, {1 << 40, 9, []byte("null")}}
	m, err := ParseMessage(AppendAwareness(nil, list))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseAwareness(m.Body); err != nil || !reflect.DeepEqual(got, list) || got[0].Gone() || !got[1].Gone() {
		t.Fatal(got, err)
	}
	if b := AppendDenied(nil, "no"); string(b) != "\x02\x00\x02no" {
		t.Fatalf("%x", b)
	}
	for _, s := range []string{"", "\x00", "\x00\x03\x00", "\x00\x00\x05a", "\x00\x00\x00a", "\x01", "\x02\x00\x00", "\x09", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if m, err := ParseMessage([]byte(s)); !errors.Is(err, ErrForm) {
			t.Errorf("%x: %v %v", s, m, err)
		}
	}
	for _, s := range []string{"", "\x01", "\x01\x01\x01\x01x", "\x01\x01\x01\x02{}x", "\x02\x01\x01\x02{}", "\x01\x01\x01\x02\xff\xff"} {
		if list, err := ParseAwareness([]byte(s)); !errors.Is(err, ErrForm) {
			t.Errorf("%x: %v %v", s, list, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "\x00", "\x01\x00\x00", "\x01\x01\x01\x00", "\xff\xff\xff\xff\x0f\x00", "\x00\x00\x00",
		"\x01\x01\x01\x00\x00\x00\x00",                                                    // garbage of length 0
		"\x01\x01\x01\x00\x84\x01\x00\x05ab\x00",                                          // a string that is cut short
		"\x01\x01\x01\x00\x84\x01\x00\x02\xff\xfe\x00",                                    // and one that is no text
		"\x01\x01\x01\x00\x8b\x01\x00\x00",                                                // an unknown kind
		"\x01\x01\x01\x00\x04\x02\x00\x01a\x00",                                           // a parent of no kind
		"\x01\x01\x01\x00\x88\x01\x00\x01\x00\x00",                                        // a value of no type
		"\x01\x01\x01\x00\x88\x01\x00\x01" + strings.Repeat("\x75\x01", 100) + "\x7f\x00", // nested too deeply
		"\x00\x01\x01\x01\xff\xff\xff\xff\xff\xff\xff\x0f\x01",                            // deleted beyond all numbers
	} {
		if u, err := Parse([]byte(s)); !errors.Is(err, ErrForm) {
			t.Errorf("%x: %v %v", s, u, err)
		}
	}
}

// Half a surrogate pair cannot be stored: like Yjs, what is cut there goes on with U+FFFD.
func TestCutsInCharacters(t *testing.T) {
	p := piece{clock: 4, length: 5, kind: kindString, raw: []byte("\x84\x07\x01\x09a😅bü")}
	p.raw[3] = byte(len("a😅bü"))
	for n, want := range map[uint64]string{1: "😅bü", 2: "\uFFFDbü", 3: "bü", 4: "ü"} {
		q := p.after(7, n)
		head := []byte{0x84, 7, byte(4 + n - 1), byte(len(want))}
		if string(q.raw) != string(head)+want || q.clock != 4+n || q.length != 5-n {
			t.Errorf("%d: %x", n, q.raw)
		}
	}
}

// FuzzParse: whatever comes, parsing ends, and what it lets through can be merged, cut and written.
func FuzzParse(f *testing.F) {
	n := 0
	vectors(f, func(v vector) {
		if n++; n < 20 {
			f.Add(v.Updates[0], v.Merged, uint64(n))
		}
	})
	f.Fuzz(func(t *testing.T, a, b []byte, at uint64) {
		_, _ = ParseMessage(a)
		_, _ = ParseAwareness(a)
		_, _ = ParseStateVector(a)
		u, err := Parse(a)
		if err != nil {
			return
		}
		m := Merge(u)
		alike(t, "read back", parse(t, m.Append(nil)), m)
		v := make(StateVector)
		for _, p := range m.clients {
			v[p.client] = at
		}
		parse(t, m.Since(v).Append(nil))
		w, err := Parse(b)
		if err != nil {
			return
		}
		both := parse(t, Merge(u, w).Append(nil))
		s := NewState(both)
		if s.Add(u) && !s.Gaps() || s.Add(w) && !s.Gaps() {
			t.Fatal("what was merged is new")
		}
	})
}
