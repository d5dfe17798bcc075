package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/broker"
)

// modelHistory is short, so that readers fall behind it.
const modelHistory = 12

// Machine is what a store lives on, and outlives it.
type Machine interface {
	// Open starts a store: the first one, or the one after the last was left or lost. The machine works for as long as that takes.
	Open(policy func(channel string) broker.Policy) (broker.Store, error)

	// Leave ends the store of a broker in order, and reports whether all that it was given is kept and nobody finds out.
	Leave(b *broker.Broker) error

	// Cut is the moment when the store's process ends without a warning; what it does afterwards, being closed too, changes nothing.
	Cut(t *rapid.T)

	// Modes are the names of what the machine may do other than to work; "slow" if it does so slowly only.
	Modes() []string

	// Set has the machine do that from now on; "": it works.
	Set(t *rapid.T, mode string)

	// Close ends the machine.
	Close()

	// Failing is what the store says meanwhile.
	Failing() error
}

// Model holds a broker whose store is on a machine against what its channels should be, through restarts, crashes, and all that the machine does. It is called in
// a synctest bubble.
func Model(t *testing.T, start func(rt *rapid.T) Machine) {
	rapid.Check(timeless{t}, func(rt *rapid.T) {
		w := &world{T: rt, machine: start(rt), channels: make(map[string]*chanModel)}
		for _, name := range []string{"room:1", "room:2", "room:3", "safe:1", "safe:2"} {
			w.channels[name] = &chanModel{name: name}
		}
		w.open()
		defer func() {
			w.machine.Set(rt, "")
			_ = w.broker.Close()
			w.machine.Close()
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"publish": w.publish, "burst": w.burst, "repeat": w.repeat, "sleep": w.sleep, "restart": w.restart, "crash": w.crash,
			"drop": w.drop, "weather": w.weather, "come": w.come, "mark": w.mark, "": w.check,
		})
	})
}

// timeless is a test without a deadline: its own is not to be asked within a synctest bubble.
type timeless struct{ *testing.T }

func (timeless) Deadline() (time.Time, bool) { return time.Time{}, false }

// world is a machine with a broker.
type world struct {
	*rapid.T
	machine  Machine
	mode     string    // what the machine does; "": it works
	since    time.Time // when it began to do that
	broker   *broker.Broker
	channels map[string]*chanModel
	marks    []mark
	n        int // numbers what is published
}

// step is a change as it is told to readers.
type step struct {
	Seq        uint64
	Op         string
	Group, Key string
	Data       json.RawMessage
	Cause      string
	ends       time.Time
	idem       string
}

func (s step) same(o step) bool {
	return s.Seq == o.Seq && s.Op == o.Op && s.Group == o.Group && s.Key == o.Key && string(s.Data) == string(o.Data) && s.Cause == o.Cause
}

// chanModel is what a channel should be.
type chanModel struct {
	name  string
	epoch string // "": it was never met, or dropped
	log   []step // all of it
	acked int    // so many of them cannot be lost
	keys  []known
}

// known is an idempotency key that must still be known.
type known struct {
	key string
	seq uint64
	at  time.Time
}

// mark is where a reader stands, and what it has read.
type mark struct {
	channel  string
	at       broker.Position
	log      []step
	lost     bool // what it has read may be gone
	restarts int
}

func (w *world) policy(channel string) broker.Policy {
	return broker.Policy{
		Durable: true, AfterDisk: channel[:4] == "safe", History: modelHistory, HistoryTTL: -1, Idempotency: time.Hour,
	}
}

// open starts a broker.
func (w *world) open() {
	j, err := w.machine.Open(w.policy)
	if err != nil {
		w.Fatalf("open: %v", err)
	}
	if w.broker, err = broker.New(broker.Config{Policy: w.policy, Store: j}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) any() *chanModel {
	return w.channels[rapid.SampledFrom(slices.Sorted(maps.Keys(w.channels))).Draw(w.T, "channel")]
}

// healthy says whether everything that was published is visible and what is acknowledged can be relied on.
func (w *world) healthy() bool { return w.mode == "" }

func (w *world) draw(c *chanModel) *broker.Publication {
	w.n++
	p := &broker.Publication{
		Op:  rapid.SampledFrom([]broker.Op{broker.Set, broker.Set, broker.Append, broker.Append, broker.Append, broker.Send, broker.Delete}).Draw(w.T, "op"),
		Ack: rapid.SampledFrom([]broker.Ack{broker.AckDefault, broker.AckDefault, broker.AckMemory}).Draw(w.T, "ack"),
	}
	if p.Op != broker.Send {
		p.Group = rapid.SampledFrom([]string{"a", "b"}).Draw(w.T, "group")
		p.Key = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(w.T, "key")
	}
	if p.Op != broker.Delete {
		p.Data = strconv.AppendInt(nil, int64(w.n), 10)
	}
	if p.Op == broker.Append || p.Op == broker.Set && rapid.Bool().Draw(w.T, "text") {
		p.Data = fmt.Appendf(nil, `"é%d,"`, w.n)
	}
	if p.Op == broker.Append && rapid.Bool().Draw(w.T, "at its end") {
		c.pass(time.Now())
		text := []rune(c.items()[p.Group+"/"+p.Key].data)
		p.HasOffset, p.Offset = true, uint64(max(len(text), 2)-2)
	}
	if p.Op == broker.Set || p.Op == broker.Append {
		p.TTL = time.Duration(rapid.SampledFrom([]int{0, 0, 2, 7, 50}).Draw(w.T, "ttl")) * time.Second
		if p.TTL > 0 {
			p.TTL += time.Duration(w.n) * time.Millisecond // no two end together
		}
	}
	if rapid.IntRange(0, 2).Draw(w.T, "keyed") == 0 {
		p.IdempotencyKey = fmt.Sprint("k", w.n)
	}
	return p
}

// submit makes a change; wait is nil if it was refused.
func (w *world) submit(c *chanModel, p *broker.Publication) (wait func() error) {
	c.pass(time.Now())
	if w.unseen(c) && !w.healthy() && c.endedSince(w.since) {
		return nil // an item that ends waits for the disk, too: which of the two comes first is the broker's to say
	}
	before := c.items()[p.Group+"/"+p.Key]
	if w.unseen(c) && !w.healthy() && (p.Op == broker.Append && !before.ends.IsZero() || p.TTL > 0 && w.mode != "slow") {
		return nil // what waits for the disk ends when it is there, at the earliest: in which order, is the broker's to say
	}
	receipt, err := w.broker.Submit(c.name, p)
	if p.Op == broker.Append && before.data != "" && before.data[0] != '"' && w.healthy() {
		if p.IdempotencyKey = ""; !errors.Is(err, broker.ErrNotText) {
			w.Fatalf("%s: %v, an append to %s", c.name, err, before.data)
		}
		return nil
	}
	if err != nil {
		if w.healthy() {
			w.Fatalf("%s: %v", c.name, err)
		}
		return nil
	}
	w.adopt(c, receipt.Position.Epoch)
	if receipt.Position.Epoch != c.epoch {
		w.Fatalf("%s: epoch %s became %s", c.name, c.epoch, receipt.Position.Epoch)
	}
	if p.Op == broker.Delete && c.items()[p.Group+"/"+p.Key] == (value{}) {
		if receipt.Position.Seq != c.head() && !w.unseen(c) {
			w.Fatalf("%s: nothing was deleted at %d, not %d", c.name, receipt.Position.Seq, c.head())
		}
	}
	if receipt.Position.Seq > c.head() {
		s := step{Seq: c.head() + 1, Op: p.Op.String(), Group: p.Group, Key: p.Key, Data: p.Data, idem: p.IdempotencyKey}
		if p.TTL > 0 {
			s.ends = time.Now().Add(p.TTL)
		}
		c.log = append(c.log, s)
	}
	if receipt.Position.Seq != c.head() {
		w.Fatalf("%s: at %d, not %d", c.name, receipt.Position.Seq, c.head())
	}
	at, now := int(c.head()), time.Now()
	return func() error {
		if receipt.Wait == nil {
			return nil // nobody promised anything
		}
		_, err := receipt.Wait()
		if err == nil {
			c.acked = max(c.acked, at)
			if p.IdempotencyKey != "" {
				c.keys = append(c.keys, known{p.IdempotencyKey, uint64(at), now})
			}
		}
		return err
	}
}

// adopt takes the epoch of a channel that never had a change: nothing is lost with it.
func (w *world) adopt(c *chanModel, epoch string) {
	if c.epoch != epoch && len(c.log) == 0 {
		w.forget(c)
		c.epoch = epoch
	}
}

// unseen says whether the channel may have changes that are not visible yet.
func (w *world) unseen(c *chanModel) bool { return w.policy(c.name).AfterDisk }

func (w *world) publish(*rapid.T) {
	c := w.any()
	p := w.draw(c)
	if wait := w.submit(c, p); wait != nil {
		if err := wait(); err != nil && (w.healthy() || !errors.Is(err, w.machine.Failing())) {
			w.Fatalf("%s: %v", c.name, err)
		}
	}
	w.settle()
}

// burst publishes without waiting in between, and crashes in the middle if the disk is slow enough.
func (w *world) burst(*rapid.T) {
	var waits []func() error
	for range rapid.IntRange(2, 12).Draw(w.T, "changes") {
		c := w.any()
		p := w.draw(c)
		if wait := w.submit(c, p); wait != nil {
			waits = append(waits, wait)
		}
	}
	cut := rapid.Bool().Draw(w.T, "crash")
	if cut {
		w.cut()
	}
	for _, wait := range waits {
		if err := wait(); err != nil && w.healthy() && !cut {
			w.Fatal(err)
		}
	}
	if cut {
		w.wake()
	}
	w.settle()
}

// repeat publishes what was published before.
func (w *world) repeat(*rapid.T) {
	c := w.any()
	if len(c.keys) == 0 || !w.healthy() {
		return
	}
	k := rapid.SampledFrom(c.keys).Draw(w.T, "known")
	at, err := w.broker.Publish(c.name, &broker.Publication{Op: broker.Send, Data: []byte(`"again"`), IdempotencyKey: k.key})
	if err != nil || at != (broker.Position{Epoch: c.epoch, Seq: k.seq}) {
		w.Fatalf("%s: key %s of %d answers %v, %v", c.name, k.key, k.seq, at, err)
	}
}

func (w *world) sleep(*rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 3, 8, 45, 70}).Draw(w.T, "seconds")) * time.Second)
	w.settle()
}

// weather changes what the machine does.
func (w *world) weather(*rapid.T) {
	w.mode = rapid.SampledFrom(append([]string{"", ""}, w.machine.Modes()...)).Draw(w.T, "mode")
	w.since = time.Now()
	w.machine.Set(w.T, w.mode)
	if w.mode == "" {
		time.Sleep(5 * time.Second) // it has healed then
		synctest.Wait()
		for _, c := range w.channels {
			c.pass(time.Now())
		}
	}
}

// settle lets everything happen that is due.
func (w *world) settle() {
	synctest.Wait()
	for _, c := range w.channels {
		c.pass(time.Now())
	}
}

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
	w.load(c)
	r := w.join(c.name, nil)
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
			if m.at.Seq > uint64(last) && w.join(c.name, &m.at).Recovered {
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

func (w *world) drop(*rapid.T) {
	c := w.any()
	if !w.healthy() || len(c.log) == 0 {
		return
	}
	at, err := w.broker.Drop(c.name)
	if err != nil || at.Epoch == c.epoch || at.Seq != 0 {
		w.Fatalf("%s: drop: %v, %v", c.name, at, err)
	}
	w.forget(c)
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
	w.load(c)
	r := w.join(c.name, &m.at)
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
	w.load(c)
	r := w.join(c.name, nil)
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

func (w *world) join(channel string, from *broker.Position) (reply broker.Reply) {
	c, err := w.broker.Join(channel, broker.JoinRequest{From: from, Appends: true}, func(_ broker.Subscriber, r broker.Reply) { reply = r })
	if err != nil {
		w.Fatalf("join %s: %v", channel, err)
	}
	c.Leave()
	return reply
}

// load has the channel in memory. Where nothing is visible before it is safe, that goes for the ends of items too,
// and a moment may pass.
func (w *world) load(c *chanModel) {
	w.join(c.name, nil)
	synctest.Wait()
	if w.mode == "slow" && w.unseen(c) {
		time.Sleep(3 * time.Second)
		synctest.Wait()
	}
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

// state is a snapshot in a form that can be compared; keys of a group stay in their order.
func state(b []byte) string { return string(b) }

func (c *chanModel) head() uint64 { return uint64(len(c.log)) }

func (c *chanModel) kept() []step { return c.log[max(0, len(c.log)-modelHistory):] }

// value is a live item.
type value struct {
	data string
	ends time.Time
	born uint64
}

// items are the live items, by group/key.
func (c *chanModel) items() map[string]value {
	items := make(map[string]value)
	for _, s := range c.log {
		id := s.Group + "/" + s.Key
		switch s.Op {
		case "set":
			born := s.Seq
			if old, ok := items[id]; ok {
				born = old.born
			}
			items[id] = value{string(s.Data), s.ends, born}
		case "append":
			item, ok := items[id]
			if !ok {
				item = value{`""`, time.Time{}, s.Seq}
			}
			item.data = item.data[:len(item.data)-1] + string(s.Data[1:])
			if !s.ends.IsZero() {
				item.ends = s.ends
			}
			items[id] = item
		case "delete":
			delete(items, id)
		}
	}
	return items
}

// pass lets items end until now.
func (c *chanModel) pass(now time.Time) {
	for {
		next, ends := "", time.Time{}
		for id, i := range c.items() {
			if !i.ends.IsZero() && !i.ends.After(now) && (next == "" || i.ends.Before(ends)) {
				next, ends = id, i.ends
			}
		}
		if next == "" {
			return
		}
		c.log = append(c.log, step{Seq: c.head() + 1, Op: "delete", Group: next[:1], Key: next[2:], Cause: "expired", ends: ends})
	}
}

// endedSince says whether the last change is the end of an item, then or later.
func (c *chanModel) endedSince(then time.Time) bool {
	n := len(c.log)
	return n > 0 && c.log[n-1].Cause == "expired" && !c.log[n-1].ends.Before(then)
}

// state is the snapshot as the broker encodes it.
func (c *chanModel) state() string {
	items, out := c.items(), "{"
	ids := slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		return int(items[a].born) - int(items[b].born)
	})
	for n, id := range ids {
		switch {
		case n == 0:
			out += `"` + id[:1] + `":{`
		case ids[n-1][0] != id[0]:
			out += `},"` + id[:1] + `":{`
		default:
			out += ","
		}
		out += `"` + id[2:] + `":` + items[id].data
	}
	if len(ids) > 0 {
		out += "}"
	}
	return out + "}"
}
