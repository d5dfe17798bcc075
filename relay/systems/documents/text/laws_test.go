package text_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"weir/relay/systems/documents/text"
)

// words are what operations insert: of one to four bytes a rune, empty lines, what JSON escapes.
var words = []string{"a", "bc ", "ü", "–x", "😅", "👩‍👧", "\n", "\"\\", "\x01", "\u2028", strings.Repeat("long ", 300)}

// randomOp makes an operation for a text of n code points.
func randomOp(n int, number func(most int) int) text.Op {
	var op text.Op
	for range number(5) {
		switch k := number(2); {
		case k == 0:
			op = append(op, text.Inserting(words[number(len(words)-1)]))
		case n > 0:
			c := text.Skipping(1 + number(min(n, 2000)-1))
			n -= c.N
			if k == 2 {
				c.Kind = text.Delete
			}
			op = append(op, c)
		}
	}
	return text.Compose(nil, op)
}

func apply(t interface{ Fatalf(string, ...any) }, s string, ops ...text.Op) string {
	b := text.NewBuffer(s)
	for _, op := range ops {
		if err := op.Check(); err != nil {
			t.Fatalf("not in normal form: %s: %v", op, err)
		}
		if err := b.Apply(append(text.Op(nil), op...)); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
	out := b.String()
	if b.Len() != utf8.RuneCountInString(out) || b.Size() != len(out) {
		t.Fatalf("length %d and size %d of %q", b.Len(), b.Size(), out)
	}
	return out
}

// flat applies an operation in the simplest way there is.
func flat(s string, op text.Op) string {
	r := []rune(s)
	var out []rune
	for _, c := range op {
		switch c.Kind {
		case text.Skip:
			out = append(out, r[:c.N]...)
			r = r[c.N:]
		case text.Insert:
			out = append(out, []rune(c.S)...)
		case text.Delete:
			r = r[c.N:]
		}
	}
	return string(append(out, r...))
}

// laws checks what must hold for a and b, made at s, and c, made behind a.
func laws(t interface{ Fatalf(string, ...any) }, s string, a, b, c text.Op) {
	if got, want := apply(t, s, a), flat(s, a); got != want {
		t.Fatalf("%q %s: %q, want %q", s, a, got, want)
	}
	ab, ba := text.Transform(b, a, text.Left), text.Transform(a, b, text.Right)
	if x, y := apply(t, s, a, ab), apply(t, s, b, ba); x != y {
		t.Fatalf("%q: %s then %s gives %q; %s then %s gives %q", s, a, ab, x, b, ba, y)
	}
	if x, y := apply(t, s, a, c), apply(t, s, text.Compose(a, c)); x != y {
		t.Fatalf("%q: %s then %s gives %q, composed %s %q", s, a, c, x, text.Compose(a, c), y)
	}
	again, err := text.Parse(a.AppendJSON(nil))
	if err != nil || again.String() != a.String() {
		t.Fatalf("%s read back: %s, %v", a, again, err)
	}
	done := append(text.Op(nil), a...)
	if err := text.NewBuffer(s).Apply(done); err != nil {
		t.Fatalf("%v", err)
	}
	if got := apply(t, s, a, done.Invert()); got != s {
		t.Fatalf("%q: %s taken back by %s gives %q", s, a, done.Invert(), got)
	}
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := func(most int) int { return rapid.IntRange(0, most).Draw(t, "n") }
		s := strings.Repeat(words[number(len(words)-1)], number(1000))
		n := utf8.RuneCountInString(s)
		a, b := randomOp(n, number), randomOp(n, number)
		laws(t, s, a, b, randomOp(utf8.RuneCountInString(flat(s, a)), number))
	})
}

// The chunks of a buffer split, join and vanish; the text must stay what it is.
func TestBufferAgainstRunes(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		number := func(most int) int { return r.IntN(most + 1) }
		want := ""
		b := text.NewBuffer(want)
		for range 400 {
			op := randomOp(b.Len(), number)
			if b.Len() > 20000 {
				op = text.Op{text.Skipping(7), text.Deleting(b.Len() - 11)}
			}
			want = flat(want, op)
			if err := b.Apply(op); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != want || b.Len() != utf8.RuneCountInString(want) || b.Size() != len(want) {
				t.Fatalf("seed %d: %s: %d runes, %d bytes", seed, op, b.Len(), b.Size())
			}
			var s string
			if err := json.Unmarshal(b.AppendJSON(nil), &s); err != nil || s != want {
				t.Fatalf("seed %d: as JSON: %v", seed, err)
			}
		}
	}
}

// FuzzParse: whatever comes, parsing ends, and what it lets through obeys the laws.
func FuzzParse(f *testing.F) {
	f.Add("a😅b", `[2,"!"]`, `[{"d":1},1,"x"]`)
	f.Add("", `["\ud83d\ude05"]`, `[]`)
	f.Fuzz(func(t *testing.T, s, first, second string) {
		if !utf8.ValidString(s) {
			return
		}
		a, err := text.Parse([]byte(first))
		if err != nil {
			return
		}
		b, err := text.Parse([]byte(second))
		if err != nil {
			return
		}
		text.Transform(a, b, text.Left) // of any two
		text.Compose(a, b)
		a.Move(len(s))
		buf := text.NewBuffer(s)
		if buf.Fits(a) != nil {
			if buf.Apply(a) == nil || buf.String() != s {
				t.Fatal("applied beyond the end")
			}
			return
		}
		if buf.Fits(b) == nil {
			laws(t, s, a, b, nil)
		}
	})
}

// FuzzLaws makes operations that fit from random bytes.
func FuzzLaws(f *testing.F) {
	f.Add("a text to begin with 😅", []byte("seed of the operations that follow it"))
	f.Fuzz(func(t *testing.T, s string, choices []byte) {
		if !utf8.ValidString(s) || len(s) > 1<<16 {
			return
		}
		number := func(most int) int {
			if len(choices) == 0 || most <= 0 {
				return 0
			}
			n := int(choices[0]) % (most + 1)
			choices = choices[1:]
			return n
		}
		n := utf8.RuneCountInString(s)
		a, b := randomOp(n, number), randomOp(n, number)
		laws(t, s, a, b, randomOp(utf8.RuneCountInString(flat(s, a)), number))
	})
}
