package storetest

import (
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

	// Reads reports whether channels are loaded in a mode that is not "".
	Reads(mode string) bool

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

// healthy reports whether everything that was published is visible and what is acknowledged can be relied on.
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

// unseen reports whether the channel may have changes that are not visible yet.
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
