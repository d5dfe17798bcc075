package batch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// appended is a message of the reference, and when it had to leave at the latest.
type appended struct {
	Message
	del bool
	run int // messages of one run may share a batch: it changes with each seal
	due time.Time
}

// modelled is a window and what the reference knows about it.
type modelled struct {
	*Window
	model   *model
	opt     Options
	seq     uint64
	run     int
	waiting []appended
	values  map[string]string // of items that messages have grown
	taken   int               // of waiting, those that are being flushed: Clear comes too late for them
}

// model drives a batcher by hand through any interleaving of what may happen to it. What happens during
// a flush happens inside the sink, so that there too everything can happen in between.
type model struct {
	t       *rapid.T
	b       *Batcher
	now     time.Time
	windows []*modelled
	pending []func() // to be done during coming flushes
	woken   bool
}

// Missed implements Sink.
func (w *modelled) Missed(last uint64) { w.model.t.Fatalf("%d is missing", last) }

// Flush implements Sink: it holds the batch against what the reference has waiting.
func (w *modelled) Flush(b *Batch) {
	t := w.model.t
	var got []Entry
	b.Each(func(e Entry) {
		e.Bytes = slices.Clone(e.Bytes)
		got = append(got, e)
	})
	n := slices.IndexFunc(w.waiting, func(a appended) bool { return a.Seq == b.Last }) + 1
	if n == 0 {
		t.Fatalf("batch up to %d, which is not waiting", b.Last)
	}
	batch := w.waiting[:n]
	w.waiting = slices.Clone(w.waiting[n:])
	if batch[0].run != batch[n-1].run {
		t.Fatalf("the batch up to %d reaches across a seal", b.Last)
	}
	want := w.conflated(batch)
	var bodies []string
	for i, e := range got {
		if i >= len(want) || e.Seq != want[i].Seq || string(e.Bytes) != string(want[i].Bytes) || e.Group != want[i].Group || e.Exclude != want[i].Exclude {
			t.Fatalf("entries %+v, want %+v", got, want)
		}
		bodies = append(bodies, string(e.Bytes))
	}
	if len(got) != len(want) || b.Count != len(want) || b.Conflated != n-len(want) || string(b.Body) != strings.Join(bodies, ",") || b.Exclusive != batch[0].Exclusive {
		t.Fatalf("batch %+v of %d entries, want %d of %d, body %q", b, len(got), len(want), n, bodies)
	}
	for _, receiver := range []string{"", "c1", "c2"} {
		for key := range 3 {
			all, told := states(batch, strconv.Itoa(key), receiver), states(want, strconv.Itoa(key), receiver)
			if all[len(all)-1] != told[len(told)-1] {
				t.Fatalf("final state for %q is %v, want %v", receiver, told, all)
			}
			for _, state := range told { // none that there was not, and in order
				i := slices.Index(all, state)
				if i < 0 {
					t.Fatalf("%q sees %v of %v", receiver, told, all)
				}
				all = all[i:]
			}
		}
	}
	if b.first == 0 {
		w.run++ // what comes from now on is not of this flush
	}
	if len(w.model.pending) > 0 {
		f := w.model.pending[0]
		w.model.pending = w.model.pending[1:]
		w.taken = len(b.buffer.marks) - b.upto
		f()
		w.taken = 0
	}
}

// conflated is a batch without what is replaced, and what is put behind an item joined: the plain rules, in quadratic time.
func (w *modelled) conflated(batch []appended) []appended {
	var kept []appended
	for i, m := range batch {
		if !w.opt.Conflate || !replaced(batch, i) {
			if m.Grows != nil && w.opt.Conflate {
				m.Bytes = []byte("<" + joined(batch, i) + ">")
			}
			kept = append(kept, m)
		}
	}
	return kept
}

// of reports whether two messages are of one item.
func (a *appended) of(b *appended) bool {
	return a.Key != "" && a.Group == b.Group && a.Key == b.Key
}

// replaced reports whether a later message stands in for the i-th.
func replaced(batch []appended, i int) bool {
	m := &batch[i]
	for j := i + 1; j < len(batch); j++ {
		later := &batch[j]
		switch {
		case !later.of(m):
		case m.Grows != nil: // the next one of the item decides
			return later.Exclude == m.Exclude && !later.del
		case m.Set && later.Grows != nil && !replaced(batch, j): // what is behind it stays
			return false
		case m.Set && later.Set: // the next set decides
			return later.Exclude == m.Exclude
		}
	}
	return false
}

// joined is the parts that the i-th message has.
func joined(batch []appended, i int) string {
	part := strings.Trim(string(batch[i].Bytes), "<>")
	for j := i - 1; j >= 0; j-- {
		if batch[j].of(&batch[i]) {
			if batch[j].Grows != nil && batch[j].Exclude == batch[i].Exclude {
				return joined(batch, j) + part
			}
			break
		}
	}
	return part
}

// states is the values that an item has one after the other for a receiver.
func states(messages []appended, key, receiver string) []string {
	value := ""
	all := []string{value}
	for _, m := range messages {
		if m.Key != key || m.Exclude != "" && m.Exclude == receiver {
			continue
		}
		switch {
		case m.Grows != nil:
			value += strings.Trim(string(m.Bytes), "<>")
		case m.Set:
			value = string(m.Bytes)
		case m.del:
			value = ""
		}
		all = append(all, value)
	}
	return all
}

func (w *modelled) append(m Message, exclusive bool) {
	w.note(appended{Message: m}, exclusive)
}

func (w *modelled) note(a appended, exclusive bool) {
	m := a.Message
	w.seq++
	m.Seq, m.Exclusive = w.seq, exclusive
	if exclusive {
		w.run++
	}
	if n := len(w.waiting); n == 0 {
		w.run++
	}
	due := w.model.now.Add(w.opt.Window)
	if w.opt.Window == 0 {
		due = w.model.now.Add(maxDebt + time.Millisecond)
	}
	if w.values == nil {
		w.values = make(map[string]string)
	}
	switch {
	case m.Grows != nil:
		w.values[m.Key] += strings.Trim(string(m.Bytes), "<>")
		m.Grows = &Growth{Whole: []byte(w.values[m.Key]), Head: 1, Foot: 1}
	case m.Set:
		w.values[m.Key] = string(m.Bytes)
	case a.del:
		w.values[m.Key] = ""
	}
	w.waiting = append(w.waiting, appended{m, a.del, w.run, due})
	size, count := -1, 0
	for i := len(w.waiting) - 1; i >= 0 && w.waiting[i].run == w.run; i-- {
		size += len(w.waiting[i].Bytes) + 1
		count++
	}
	if exclusive || count >= earlyMessages || size >= earlyBytes {
		w.run++
	}
	w.Append(m)
}

// check reports whether something waits for longer than it may.
func (m *model) check() {
	total := int64(0)
	for i, w := range m.windows {
		for _, a := range w.waiting {
			total += int64(len(a.Bytes))
			if a.due.Before(m.now) {
				m.t.Fatalf("window %d %+v: message %d is late by %v", i, w.opt, a.Seq, m.now.Sub(a.due))
			}
		}
	}
	if m.b.Waiting() != total {
		m.t.Fatalf("%d bytes wait, want %d", m.b.Waiting(), total)
	}
}

// advance lets time pass, with the runs that the batcher asks for.
func (m *model) advance(d time.Duration) {
	end := m.now.Add(d)
	for range 10_000 {
		m.woken = false
		next := m.b.Run(m.now)
		if m.woken {
			continue // something came during the run
		}
		if next.IsZero() || next.After(end) {
			m.now = end
			m.check()
			return
		}
		if !next.After(m.now) {
			m.t.Fatalf("next run at %v, which is not later than now", next.Sub(m.now))
		}
		m.now = next
	}
	m.t.Fatalf("the batcher does not come to rest")
}

func TestModel(t *testing.T) {
	big := []byte(strings.Repeat("b", earlyBytes/3))
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, now: time.Now()}
		m.b = New(Config{Phase: time.Duration(rapid.IntRange(0, 50).Draw(t, "phase")) * ms, Wake: func() { m.woken = true }})
		for range rapid.IntRange(1, 4).Draw(t, "windows") {
			w := &modelled{model: m, opt: Options{
				Window:   rapid.SampledFrom([]time.Duration{0, 10 * ms, 50 * ms, time.Second}).Draw(t, "window"),
				Eager:    rapid.Bool().Draw(t, "eager"),
				Conflate: rapid.Bool().Draw(t, "conflate"),
			}}
			w.Window = m.b.Window(w.opt, w)
			m.windows = append(m.windows, w)
		}
		window := rapid.SampledFrom(m.windows)
		op := func() func() {
			w := window.Draw(t, "w")
			switch rapid.SampledFrom([]string{"set", "set", "set", "grow", "grow", "grow", "grow", "grow", "delete", "send", "big", "many", "exclusive", "seal", "expedite", "clear"}).Draw(t, "op") {
			case "set":
				msg := Message{Set: true, Group: "g", Key: strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "key")),
					Exclude: rapid.SampledFrom([]string{"", "", "c1", "c2"}).Draw(t, "exclude"),
					Bytes:   fmt.Appendf(nil, "v%d", rapid.IntRange(0, 9999).Draw(t, "value"))}
				return func() { w.append(msg, false) }
			case "grow":
				msg := Message{Grows: new(Growth), Group: "g", Key: strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "key")),
					Exclude: rapid.SampledFrom([]string{"", "", "", "c1", "c2"}).Draw(t, "exclude"),
					Bytes:   fmt.Appendf(nil, "<%d>", rapid.IntRange(0, 9999).Draw(t, "part"))}
				return func() { w.append(msg, false) }
			case "delete":
				msg := Message{Group: "g", Key: strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "key")), Bytes: []byte("d")}
				return func() { w.note(appended{Message: msg, del: true}, false) }
			case "send":
				return func() { w.append(Message{Bytes: []byte("s"), Group: "h"}, false) }
			case "big":
				return func() { w.append(Message{Bytes: big}, false) }
			case "many":
				n := rapid.IntRange(1, earlyMessages).Draw(t, "n")
				return func() {
					for range n {
						w.append(Message{Bytes: []byte("m")}, false)
					}
				}
			case "exclusive":
				return func() { w.append(Message{Bytes: []byte("a")}, true) }
			case "seal":
				return func() {
					w.Seal()
					w.run++
				}
			case "expedite":
				return func() {
					for i := range w.waiting { // all of it, as soon as the budget allows
						if due := m.now.Add(maxDebt + time.Millisecond); due.Before(w.waiting[i].due) {
							w.waiting[i].due = due
						}
					}
					w.Expedite()
				}
			default:
				return func() {
					w.Clear()
					w.waiting = w.waiting[:w.taken]
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"do":     func(*rapid.T) { op()() },
			"during": func(*rapid.T) { m.pending = append(m.pending, op()) },
			"pass": func(t *rapid.T) {
				m.advance(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "us")) * time.Microsecond)
			},
			"write": func(t *rapid.T) {
				d := time.Duration(rapid.IntRange(0, 40).Draw(t, "spent")) * ms
				m.now = m.now.Add(d) // no run meanwhile: the loop writes
				for _, w := range m.windows {
					for i := range w.waiting {
						w.waiting[i].due = w.waiting[i].due.Add(2 * d) // the time itself, and the rest it costs
					}
				}
				m.b.Spent(d, m.now, 1, 1)
			},
			"divide": func(t *rapid.T) { m.b.parts.count = rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "parts") },
			"flush": func(*rapid.T) {
				m.pending = nil
				m.b.FlushAll(m.now)
				m.check()
				for _, w := range m.windows {
					if len(w.waiting) > 0 {
						t.Fatalf("FlushAll left %d messages", len(w.waiting))
					}
				}
			},
		})
		m.pending = nil
		m.advance(3 * time.Second) // nothing stays behind, whatever came before
		if m.b.Waiting() != 0 || !m.b.Run(m.now).IsZero() {
			t.Fatalf("%d bytes wait for ever", m.b.Waiting())
		}
	})
}
