package batch

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// growthSink notes batches, and what they become when every growth is told as the whole value.
type growthSink struct{ got, whole []string }

func (s *growthSink) Flush(b *Batch) {
	s.got = append(s.got, string(b.Body))
	if !b.Grows {
		s.whole = append(s.whole, "-")
		return
	}
	r := b.Rewrite(func(dst []byte, e *Entry) []byte {
		switch {
		case e.Later:
			return dst
		case e.Whole != nil:
			return fmt.Appendf(dst, "=%s%s", e.Whole, map[bool]string{true: "!"}[e.Created])
		}
		return append(dst, e.Bytes...)
	})
	bodies := []string{}
	r.Each(func(e Entry) { bodies = append(bodies, string(e.Bytes)) })
	if body := strings.Join(bodies, ","); body != string(r.Body) || r.Count != len(bodies) || r.Last != b.Last {
		s.whole = append(s.whole, fmt.Sprintf("body %s, entries %s, count %d", r.Body, body, r.Count))
		return
	}
	s.whole = append(s.whole, string(r.Body))
}
func (s *growthSink) Missed(uint64) {}

// Each step is KIND[KEY][:EXCLUDE]=VALUE, or a seal: s sets, g grows, G grows what is new, d deletes.
func TestGrowth(t *testing.T) {
	for steps, want := range map[string][4]string{ // conflated, that as whole values; not conflated, that as whole values
		"ga=1 ga=2 ga=3":                  {"<123>", "=123", "<1>,<2>,<3>", "=123"},
		"Ga=1 ga=2":                       {"<12>", "=12!", "<1>,<2>", "=12!"},
		"ga=1 gb=x ga=2 gb=y":             {"<12>,<xy>", "=12,=xy", "<1>,<x>,<2>,<y>", "=12,=xy"},
		"ga=1 seal ga=2":                  {"<1>|<2>", "=1|=12", "<1>|<2>", "=1|=12"},
		"sa=1 ga=2 ga=3":                  {"1,<23>", "1,=123", "1,<2>,<3>", "1,=123"},
		"ga=1 sa=2 ga=3":                  {"2,<3>", "2,=23", "<1>,2,<3>", "2,=23"},
		"sa=1 ga=2 sa=3":                  {"3", "-", "1,<2>,3", "1,3"},
		"ga=1 da ga=2":                    {"<1>,-,<2>", "=1,-,=2", "<1>,-,<2>", "=1,-,=2"},
		"sa=1 ga=2 da sa=3":               {"1,<2>,-,3", "1,=12,-,3", "1,<2>,-,3", "1,=12,-,3"},
		"ga=1 ga:c=2 ga=3":                {"<1>,<2>,<3>", "=1,=12,=123", "<1>,<2>,<3>", "=1,=12,=123"},
		"sa=1 ga:c=2 sa=3":                {"1,<2>,3", "1,=12,3", "1,<2>,3", "1,=12,3"},
		"sa=1 ga:c=2 ga=3 sa=4":           {"1,<2>,4", "1,=12,4", "1,<2>,<3>,4", "1,=12,4"},
		"ga=longer-than-that sb=1 ga=x":   {"1,<longer-than-thatx>", "1,=longer-than-thatx", "<longer-than-that>,1,<x>", "1,=longer-than-thatx"},
		"gb=1 ga=22222222 sb=3 ga=4 gb=5": {"3,<222222224>,<5>", "3,=222222224,=35", "<1>,<22222222>,3,<4>,<5>", "3,=222222224,=35"},
	} {
		for i, conflate := range []bool{true, false} {
			s := new(growthSink)
			b := New(Config{})
			w := b.Window(Options{Window: time.Hour, Conflate: conflate}, s)
			values, seq := make(map[string]string), uint64(0)
			for step := range strings.FieldsSeq(steps) {
				seq++
				if step == "seal" {
					w.Seal()
					continue
				}
				kind, key := step[0], step[1:2]
				name, value, _ := strings.Cut(step[2:], "=")
				m := Message{Bytes: []byte(value), Seq: seq, Group: "g", Key: key, Exclude: strings.TrimPrefix(name, ":")}
				switch kind {
				case 's':
					m.Set, values[key] = true, value
				case 'd':
					m.Bytes, values[key] = []byte("-"), ""
				default:
					values[key] += value
					m.Bytes, m.Created = []byte("<"+value+">"), kind == 'G'
					m.Grows = &Growth{Whole: []byte(values[key]), Head: 1, Foot: 1}
				}
				w.Append(m)
			}
			b.FlushAll(time.Now())
			if got := strings.Join(s.got, "|"); got != want[2*i] {
				t.Errorf("%s, conflate %t: %s, want %s", steps, conflate, got, want[2*i])
			}
			if got := strings.Join(s.whole, "|"); got != want[2*i+1] {
				t.Errorf("%s, conflate %t: as whole values %s, want %s", steps, conflate, got, want[2*i+1])
			}
			if b.Waiting() != 0 {
				t.Errorf("%s: %d bytes wait", steps, b.Waiting())
			}
		}
	}
}

// Many small growths in one window are put together without copying what there is each time, and a buffer is used again.
func TestGrowthsAllocateNothing(t *testing.T) {
	s := new(growthCount)
	b := New(Config{})
	w := b.Window(Options{Window: time.Hour, Conflate: true}, s)
	whole := []byte(strings.Repeat("x", 2000))
	g := new(Growth)
	m := Message{Bytes: []byte("<12345>"), Group: "g", Key: "k", Grows: g}
	now := time.Now()
	round := func() {
		for i := range 400 {
			*g = Growth{Whole: whole[:5*(i+1)], Head: 1, Foot: 1}
			m.Seq++
			w.Append(m)
		}
		b.FlushAll(now)
	}
	round()
	if got := testing.AllocsPerRun(20, round); got > 1 && !raceEnabled {
		t.Errorf("%v allocations for 400 growths", got)
	}
	if s.size != 2002 || s.count != 1 {
		t.Errorf("%d messages of %d bytes", s.count, s.size)
	}
}

type growthCount struct{ count, size int }

func (s *growthCount) Flush(b *Batch) { s.count, s.size = b.Count, len(b.Body) }
func (s *growthCount) Missed(uint64)  {}
