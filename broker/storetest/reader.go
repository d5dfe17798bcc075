package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/broker"
)

// mark is where a reader stands, and what it has read.
type mark struct {
	channel  string
	at       broker.Position
	log      []step
	lost     bool // what it has read may be gone
	restarts int
}

// mark has a reader stand somewhere.
func (w *world) mark(*rapid.T) {
	c := w.any()
	if c.epoch == "" || w.unseen(c) && !w.healthy() {
		return
	}
	c.pass(time.Now())
	if len(c.log) == 0 {
		return
	}
	w.marks = append(w.marks, mark{channel: c.name, at: broker.Position{Epoch: c.epoch, Seq: c.head()}, log: slices.Clone(c.log)})
}

// come has a reader come back.
func (w *world) come(*rapid.T) {
	if len(w.marks) == 0 {
		return
	}
	m := rapid.SampledFrom(w.marks).Draw(w.T, "reader")
	c := w.channels[m.channel]
	if w.unseen(c) && !w.healthy() {
		return
	}
	r, ok := w.met(c, &m.at)
	if !ok {
		return
	}
	w.adopt(c, r.Position.Epoch)
	c.pass(time.Now())
	if !r.Recovered {
		if !r.Lost {
			w.Fatalf("%s: the reader at %v is not told", c.name, m.at)
		}
		if !m.lost && m.restarts < 8 && c.head()-m.at.Seq <= modelHistory {
			w.Fatalf("%s: the reader at %v could have resumed at %v", c.name, m.at, r.Position)
		}
		return
	}
	n := int(m.at.Seq)
	if n > len(c.log) || !slices.EqualFunc(m.log, c.log[:n], step.same) {
		w.Fatalf("%s: the reader at %v has read %v, the log is %v", c.name, m.at, m.log, c.log)
	}
	if got := steps(w.T, r.Changes); !slices.EqualFunc(got, c.log[n:], step.same) {
		w.Fatalf("%s: the reader at %v got %v of %v", c.name, m.at, got, c.log)
	}
}

// check compares a channel with what it should be.
func (w *world) check(*rapid.T) {
	if w.broker == nil {
		return
	}
	c := w.any()
	if c.epoch == "" || w.unseen(c) && !w.healthy() {
		return
	}
	r, ok := w.met(c, nil)
	if !ok {
		return
	}
	w.adopt(c, r.Position.Epoch)
	c.pass(time.Now())
	if r.Position != (broker.Position{Epoch: c.epoch, Seq: c.head()}) {
		w.Fatalf("%s: at %v, not %s %d", c.name, r.Position, c.epoch, c.head())
	}
	if got, want := state(r.State), c.state(); got != want {
		w.Fatalf("%s: state %s, not %s", c.name, got, want)
	}
	if got, _ := w.history(c.name); !slices.EqualFunc(got, c.kept(), step.same) {
		w.Fatalf("%s: history %v, not %v", c.name, got, c.kept())
	}
}

// join joins a channel, and leaves it; false if the machine does not let it be loaded.
func (w *world) join(channel string, from *broker.Position) (reply broker.Reply, ok bool) {
	c, err := w.broker.Join(channel, broker.JoinRequest{From: from, Appends: true}, func(_ broker.Subscriber, r broker.Reply) { reply = r })
	if err != nil && !w.healthy() && !w.machine.Reads(w.mode) && errors.Is(err, w.machine.Failing()) {
		return reply, false
	}
	if err != nil {
		w.Fatalf("join %s: %v", channel, err)
	}
	c.Leave()
	return reply, true
}

// resumes reports whether a reader goes on from a position.
func (w *world) resumes(c *chanModel, from *broker.Position) bool {
	r, ok := w.join(c.name, from)
	return ok && r.Recovered
}

// met has the channel in memory, and joins it. Where nothing is visible before it is safe, that goes for the ends of items too, and a moment may pass.
func (w *world) met(c *chanModel, from *broker.Position) (reply broker.Reply, ok bool) {
	if _, ok := w.join(c.name, nil); !ok {
		return reply, false
	}
	synctest.Wait()
	if w.mode == "slow" && w.unseen(c) {
		time.Sleep(3 * time.Second)
		synctest.Wait()
	}
	return w.join(c.name, from)
}

func (w *world) history(channel string) ([]step, bool) {
	b, _, _, ok := w.broker.History(channel, 0, modelHistory)
	if !ok {
		return nil, false
	}
	return steps(w.T, b), true
}

func steps(t interface{ Fatalf(string, ...any) }, b []byte) (list []step) {
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return list
}
