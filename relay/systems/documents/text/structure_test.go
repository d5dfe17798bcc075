package text_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"weir/relay/systems/documents/text"
)

// BenchmarkStructure is what the choice of the buffer rests on: one edit at a random place of a text of 100 KB,
// in the buffer and in the two simpler structures that might have done.

// structure is a text that can be edited.
type structure interface {
	edit(at, remove int, insert string)
}

type chunked struct{ *text.Buffer }

func (c chunked) edit(at, remove int, insert string) {
	op := make(text.Op, 0, 3)
	if at > 0 {
		op = append(op, text.Skipping(at))
	}
	op = append(op, text.Inserting(insert), text.Deleting(remove))
	if err := c.Apply(op); err != nil {
		panic(err)
	}
}

// whole is the text as one string, made anew by each edit.
type whole struct{ s string }

func (w *whole) edit(at, remove int, insert string) {
	from := 0
	for i := range w.s {
		if at == 0 {
			from = i
			break
		}
		at--
	}
	to := len(w.s)
	for i := range w.s[from:] {
		if remove == 0 {
			to = from + i
			break
		}
		remove--
	}
	w.s = w.s[:from] + insert + w.s[to:]
}

// gap is a gap buffer of runes, four bytes each.
type gap struct {
	r          []rune
	start, end int
}

func newGap(s string) *gap {
	r := []rune(s)
	g := &gap{r: make([]rune, len(r)+1024), start: len(r), end: len(r) + 1024}
	copy(g.r, r)
	return g
}

func (g *gap) edit(at, remove int, insert string) {
	if at < g.start {
		n := g.start - at
		copy(g.r[g.end-n:g.end], g.r[at:g.start])
		g.start, g.end = at, g.end-n
	} else if at > g.start {
		n := at - g.start
		copy(g.r[g.start:], g.r[g.end:g.end+n])
		g.start, g.end = at, g.end+n
	}
	g.end += remove
	in := []rune(insert)
	if g.end-g.start < len(in) {
		g.r = slices.Insert(g.r, g.end, make([]rune, 1024)...)
		g.end += 1024
	}
	g.start += copy(g.r[g.start:], in)
}

func BenchmarkStructure(b *testing.B) {
	const size = 100 << 10
	for _, kind := range []struct{ name, unit string }{{"ascii", "a plain line of text, and another. "}, {"mixed", "ein Text mit Ümläuten – und 😅 dazu. "}} {
		s := strings.Repeat(kind.unit, size/len(kind.unit))
		runes := len([]rune(s))
		for _, x := range []struct {
			name string
			make func() structure
		}{
			{"chunks", func() structure { return chunked{text.NewBuffer(s)} }},
			{"gap", func() structure { return newGap(s) }},
			{"whole", func() structure { return &whole{s} }},
		} {
			b.Run(fmt.Sprintf("text=%s/structure=%s", kind.name, x.name), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 2))
				t := x.make()
				b.ReportAllocs()
				for b.Loop() {
					t.edit(r.IntN(runes-10), 5, "hello")
				}
			})
		}
	}
}

// BenchmarkTransformApply is what a document of 100 KB does for one operation of an editor that is so many
// operations behind.
func BenchmarkTransformApply(b *testing.B) {
	s := strings.Repeat("a plain line of text, and another. ", 100<<10/35)
	for _, behind := range []int{0, 5, 25, 50} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			t := text.NewBuffer(s)
			edit := func() text.Op {
				if r.IntN(2) == 0 {
					return text.Op{text.Skipping(1 + r.IntN(90000)), text.Inserting("x")}
				}
				return text.Op{text.Skipping(1 + r.IntN(90000)), text.Deleting(1)}
			}
			log := make([]text.Op, max(behind, 1))
			for i := range log {
				log[i] = edit()
			}
			var from, to text.Op
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				op := edit()
				for k := range behind {
					to = text.AppendTransform(to[:0], op, log[(i+k)%len(log)], text.Left)
					op = to
					from, to = to, from
				}
				op = slices.Clone(op)
				if err := t.Apply(op); err != nil {
					b.Fatal(err)
				}
				log[i%len(log)] = op
			}
		})
	}
}
