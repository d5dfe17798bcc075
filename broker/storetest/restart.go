package storetest

import (
	"slices"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// restart ends the broker and starts another. What could be written is there, and nobody finds out.
func (w *world) restart(*rapid.T) {
	err := w.machine.Leave(w.broker)
	clean := err == nil
	if !clean && w.healthy() {
		w.Fatalf("close: %v", err)
	}
	w.again(func(c *chanModel) bool {
		if clean {
			c.acked = len(c.log)
		}
		return clean
	})
}

// again starts a broker after another one.
func (w *world) again(clean func(c *chanModel) bool) {
	w.machine.Set(w.T, "")
	w.open()
	for _, c := range w.channels {
		w.meet(c, clean(c))
	}
	if w.mode == "full" {
		w.mode = ""
	}
	w.machine.Set(w.T, w.mode)
}

// crash takes the power away.
func (w *world) crash(*rapid.T) {
	w.cut()
	w.wake()
}

// cut is the moment when the power goes.
func (w *world) cut() {
	if rapid.Bool().Draw(w.T, "in the middle") {
		synctest.Wait()
	}
	w.machine.Cut(w.T)
	_ = w.broker.Close()
}

// wake is the start after that.
func (w *world) wake() { w.again(func(*chanModel) bool { return false }) }

// meet finds out what a restart has kept of a channel, and demands that it is a beginning of its log which has all
// that was acknowledged, and that what readers stand on is judged rightly.
func (w *world) meet(c *chanModel, clean bool) {
	if c.epoch == "" {
		return
	}
	r, ok := w.met(c, nil)
	if !ok {
		w.Fatalf("%s: it is not loaded", c.name)
	}
	got, _ := w.history(c.name)
	now := time.Now()
	first, last := -1, -1
	var kept *chanModel
	for k := c.acked; k <= len(c.log); k++ {
		try := &chanModel{name: c.name, log: slices.Clone(c.log[:k])}
		try.pass(now)
		if try.head() == r.Position.Seq && try.state() == state(r.State) && slices.EqualFunc(try.kept(), got, step.same) {
			if first < 0 {
				first, kept = k, try
			}
			last = k
		}
	}
	if kept == nil {
		if c.acked == 0 && r.Position.Seq == 0 {
			w.forget(c)
			return
		}
		w.Fatalf("%s: found %d %s %v after a restart, acknowledged %d of %v", c.name, r.Position.Seq, r.State, got, c.acked, c.log)
	}
	if clean && len(c.log) > 0 && r.Position.Epoch != c.epoch {
		w.Fatalf("%s: epoch %s became %s over an orderly restart", c.name, c.epoch, r.Position.Epoch)
	}
	for i := range w.marks {
		m := &w.marks[i]
		if m.channel == c.name {
			m.restarts++
			m.lost = m.lost || m.at.Seq > uint64(first)
			if m.at.Seq > uint64(last) && w.resumes(c, &m.at) {
				w.Fatalf("%s: %v was lost, only %d kept, and the reader is not told", c.name, m.at, last)
			}
		}
	}
	c.epoch, c.log, c.acked = r.Position.Epoch, kept.log, max(c.acked, first)
	c.keys = slices.DeleteFunc(c.keys, func(k known) bool { return k.seq > uint64(first) })
}

// forget is what becomes of a channel of which nothing was kept.
func (w *world) forget(c *chanModel) {
	c.epoch, c.log, c.acked, c.keys = "", nil, 0, nil
	for i := range w.marks {
		w.marks[i].lost = w.marks[i].lost || w.marks[i].channel == c.name
	}
}
