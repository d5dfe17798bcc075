package check

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func anyStamp(t *rapid.T) Stamp {
	return Stamp{
		Channel: rapid.Uint32().Draw(t, "channel"), Source: rapid.Uint32().Draw(t, "source"),
		Number: rapid.Uint64().Draw(t, "number"), Due: rapid.Int64Range(0, math.MaxInt64).Draw(t, "due"),
	}
}

func TestStampsComeBackAndAreExactlyAsLongAsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, size := anyStamp(t), rapid.IntRange(maxStamp+20, 20_000).Draw(t, "size")
		b := s.Append([]byte("before"), size)[len("before"):]
		got, err := Parse(b)
		if err != nil || got != s || len(b) != size || !json.Valid(b) {
			t.Fatalf("%v became %v, %v, %d bytes", s, got, err, len(b))
		}
	})
	usual := Stamp{Channel: 4999, Source: 63, Number: 9_999_999, Due: 999_999_999_999}
	if n := len(usual.Append(nil, MinSize)); n != MinSize {
		t.Errorf("a usual stamp takes %d bytes", n)
	}
	longest := Stamp{math.MaxUint32, math.MaxUint32, math.MaxUint64, math.MaxInt64}
	if n := len(longest.Append(nil, 1)); n > maxStamp {
		t.Errorf("the longest stamp takes %d bytes", n)
	}
}

func TestAnyOtherSpellingOfTheSameStampIsAccepted(t *testing.T) {
	b := Stamp{1, 2, 3, 4}.Append(nil, 80)
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	other, err := json.MarshalIndent(m, " ", "  ") // other order, white space
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Parse(other); err != nil || (s != Stamp{1, 2, 3, 4}) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	b := Stamp{Channel: 12, Source: 3, Number: 456, Due: 789_000}.Append(nil, 100)
	for i := range b {
		for _, with := range []byte{b[i] ^ 1, b[i] ^ 0x10, ' ', '0', 'x'} {
			if with == b[i] {
				continue
			}
			c := append([]byte(nil), b...)
			c[i] = with
			if _, err := Parse(c); !errors.Is(err, ErrCorrupt) {
				t.Errorf("byte %d as %q: %v", i, with, err)
			}
		}
		if _, err := Parse(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Stamp{1, 2, 3, 4}.Append(nil, 64))
	f.Add([]byte(`{"c":1,"c":1,"c":1,"c":1,"x":"00000000"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		if again, err := Parse(s.Append(nil, len(b))); err != nil || again != s {
			t.Fatalf("%q: %v, then %v, %v", b, s, again, err)
		}
	})
}

func BenchmarkStamp(b *testing.B) {
	buf := Stamp{1, 2, 3, 4}.Append(nil, 128)
	b.Run("op=append/size=128", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			buf = Stamp{1, 2, uint64(i), 4_000_000}.Append(buf[:0], 128)
		}
	})
	b.Run("op=parse/size=128", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
