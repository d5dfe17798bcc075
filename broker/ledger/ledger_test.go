package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/broker"
	"weir/broker/ledger"
	"weir/internal/mesh"
	"weir/internal/mesh/fake"
)

// process is one that has a slot of its own.
type process struct {
	testing.TB
	node    mesh.Node
	l       *ledger.Ledger
	b       *broker.Broker
	slot    int
	session string
	from    uint64
	fenced  chan struct{} // of capacity 1: holds a value when it has been fenced
}

var durable = broker.Policy{Durable: true, History: 100, HistoryTTL: -1, HistoryBytes: -1}

func start(t *testing.T, m *fake.Mesh, slot int, prepare ...func(*ledger.Config)) *process {
	t.Helper()
	node, err := m.Open(fmt.Sprint("p", slot), nothing{})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{TB: t, node: node, slot: slot, fenced: make(chan struct{}, 1)}
	policy := func(string) broker.Policy { return durable }
	c := ledger.Config{Partitions: partitions, Partition: partition, Policy: policy, Logs: node.Log, Shelf: node.Shelf(), Fenced: func() { p.fenced <- struct{}{} }}
	for _, f := range prepare {
		f(&c)
	}
	p.l = ledger.New(c)
	if p.b, err = broker.New(broker.Config{Policy: policy, Store: p.l}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.b.Close()
		_ = node.Close()
	})
	p.begin()
	return p
}

func (p *process) begin() {
	p.Helper()
	var err error
	if p.session, p.from, err = p.l.Begin(context.Background(), p.slot, ledger.Made{}); err != nil {
		p.Fatal(err)
	}
}

// take has the process take partitions that are in a table.
func (p *process) take(t *table, parts ...int) {
	p.Helper()
	var claims []ledger.Claim
	for _, n := range parts {
		claims = append(claims, t.claim(n, p.slot, p.session, p.from))
	}
	if err := p.l.Take(context.Background(), claims); err != nil {
		p.Fatal(err)
	}
}

// publish publishes one text after the other, each acknowledged.
func (p *process) publish(channel string, texts ...string) {
	p.Helper()
	for _, text := range texts {
		if _, err := p.b.Publish(channel, &broker.Publication{Op: broker.Set, Key: text, Data: []byte(`"` + text + `"`)}); err != nil {
			p.Fatalf("publish %s: %v", text, err)
		}
	}
}

// has is what a channel's history says.
func (p *process) has(channel string) (texts []string) {
	p.Helper()
	if err := p.b.Load(channel); err != nil {
		p.Fatal(err)
	}
	b, _, _, _ := p.b.History(channel, 0, 1000)
	var list []struct{ Key string }
	if err := json.Unmarshal(b, &list); err != nil {
		p.Fatalf("%s: %v", b, err)
	}
	for _, one := range list {
		texts = append(texts, one.Key)
	}
	return texts
}

func want(t *testing.T, what string, got, expected any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(expected) {
		t.Errorf("%s: %v, expected %v", what, got, expected)
	}
}

// A process whose partition was taken over acknowledges nothing any more, and what it had acknowledged is there.
func TestFencedOwner(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	a.take(places, 0, 1, 2)
	a.publish("room:0", "one", "two") // partition 0
	b.take(places, 0)
	want(t, "the new owner has", b.has("room:0"), "[one two]")
	b.publish("room:0", "three")
	if at, err := a.b.Publish("room:0", &broker.Publication{Op: broker.Set, Key: "stale", Data: []byte("1")}); !errors.Is(err, ledger.ErrFenced) {
		t.Fatalf("an owner that was replaced has acknowledged %v: %v", at, err)
	}
	<-a.fenced
	for n := range partitions {
		if a.l.Serves(n) {
			t.Errorf("partition %d is served by a process without a log", n)
		}
	}
	if _, err := a.b.Publish("room:1", &broker.Publication{Op: broker.Send, Data: []byte("1")}); !errors.Is(err, ledger.ErrNotTaken) {
		t.Errorf("it takes changes of other partitions: %v", err)
	}
	a.begin()
	a.take(places, 1)
	a.publish("room:1", "again")
	b.publish("room:0", "four")
	want(t, "the new owner has", b.has("room:0"), "[one two three four]")
}

// What a replaced owner has in the log behind the fence, as it would if it had more than one frame in flight, is not read.
func TestBehindTheFence(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b, c := start(t, m, 0), start(t, m, 1), start(t, m, 2)
	a.take(places, 0)
	a.publish("room:0", "one")
	ctx := context.Background()
	var frame []byte
	if err := a.node.Log(0).Read(ctx, 2, 2, func(_ uint64, _ time.Time, b []byte) error { frame = b; return nil }); err != nil {
		t.Fatal(err)
	}
	b.take(places, 0)
	if _, err := a.node.Log(0).Append(ctx, frame, 3); err != nil { // behind the fence at 3
		t.Fatal(err)
	}
	b.publish("room:0", "two")
	c.take(places, 0)
	want(t, "the next owner has", c.has("room:0"), "[one two]")
}

// A partition that is given away goes on at its next owner in the same epoch, and the others where they are.
func TestGive(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	a.take(places, 0, 1)
	a.publish("room:0", "one")
	a.publish("room:1", "uno")
	before, _ := a.b.At("room:0")
	refs, err := a.l.Give(context.Background(), 0, places[0].refs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.b.Publish("room:0", &broker.Publication{Op: broker.Send, Data: []byte("1")}); !errors.Is(err, ledger.ErrNotTaken) {
		t.Errorf("a change of a partition that was given away: %v", err)
	}
	places[0].refs = refs
	a.l.Drop(0)
	b.take(places, 0)
	b.publish("room:0", "two")
	a.publish("room:1", "dos")
	want(t, "the next owner has", b.has("room:0"), "[one two]")
	want(t, "the other partition has", a.has("room:1"), "[uno dos]")
	if at, _ := b.b.At("room:0"); at.Epoch != before.Epoch {
		t.Errorf("epoch %s became %s", before.Epoch, at.Epoch)
	}
	if n := a.l.Stats().Fenced; n != 0 {
		t.Error("the process that gave it away was fenced")
	}
}

// A channel that is larger than what the shelf takes is there in pieces, and what is on the shelf leaves the log.
func TestLargeChannel(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	a.take(places, 0)
	text := strings.Repeat("x", 60_000)
	for i := range 30 { // text that packs badly
		var data strings.Builder
		for n := range 6000 {
			fmt.Fprintf(&data, "%x", (n+1)*(i+7)*2654435761)
		}
		if _, err := a.b.Publish("room:0", &broker.Publication{Op: broker.Set, Key: fmt.Sprint(i), Data: []byte(`"` + data.String() + text + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	b.take(places, 0)
	until(t, "all is on the shelf", func() bool { return b.l.Stats().Backlog == 0 })
	want(t, "refs", len(b.l.Refs(0, places[0].refs)), 1)
	places[0].refs = b.l.Refs(0, places[0].refs)
	a.begin() // a new session at a log that nobody needs any more
	a.l.Purge(func() uint64 { return places.reserved(0, a.session) })
	until(t, "the log is empty", func() bool {
		first, last, err := a.node.Log(0).Bounds(context.Background())
		return err == nil && first == last+1
	})
	a.take(places, 0)
	want(t, "changes", len(a.has("room:0")), 30)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// late is a shelf on which nothing is put before something else has happened.
type late struct {
	mesh.Shelf
	first func()
}

func (l *late) Put(ctx context.Context, expected uint64, values ...mesh.Value) (uint64, error) {
	if f := l.first; f != nil {
		l.first = nil
		f()
	}
	return l.Shelf.Put(ctx, expected, values...)
}

// A checkpoint of an owner that was replaced while it made it does not take the place of one that has more.
func TestStaleCheckpoint(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	b, c := start(t, m, 1), start(t, m, 2)
	put := make(chan struct{})
	a := start(t, m, 0, func(config *ledger.Config) {
		config.Checkpoint = 1
		config.Shelf = &late{config.Shelf, func() {
			b.take(places, 0)
			b.publish("room:0", "two")
			refs, err := b.l.Give(context.Background(), 0, places[0].refs)
			if err != nil {
				t.Error(err)
			}
			places[0].refs = refs
			b.l.Drop(0)
			c.take(places, 0)
			until(t, "all is on the shelf", func() bool { return c.l.Stats().Backlog == 0 })
			close(put)
		}}
	})
	a.take(places, 0)
	a.publish("room:0", "one")
	<-put
	until(t, "the stale checkpoint was made", func() bool { return a.l.Stats().Checkpoints > 0 })
	want(t, "the new owner has", c.has("room:0"), "[one two]")
}

// proof is a shelf on which nothing is proven before something else has happened.
type proof struct {
	mesh.Shelf
	first func()
}

func (p *proof) Prove(ctx context.Context, key string, revision uint64) error {
	if f := p.first; f != nil {
		p.first = nil
		f()
	}
	return p.Shelf.Prove(ctx, key, revision)
}

// What was read of a channel is of no use when its partition has gone to another process, which changed it, and has come back meanwhile: not to load it, to import it, or to note that it forks there.
func TestReadBeforeItMoved(t *testing.T) {
	for _, killed := range []bool{false, true} {
		m, places := &fake.Mesh{}, &table{}
		b := start(t, m, 1)
		away := &proof{}
		a := start(t, m, 0, func(c *ledger.Config) {
			away.Shelf = c.Shelf
			c.Shelf = away
		})
		give := func(p *process) {
			refs, err := p.l.Give(context.Background(), 0, places[0].refs)
			if err != nil {
				t.Fatal(err)
			}
			places[0].refs = refs
			p.l.Drop(0)
		}
		a.take(places, 0)
		move := func(channel string) {
			away.first = func() {
				give(a)
				b.begin() // it may be fenced
				b.take(places, 0)
				b.publish(channel, "one", "two")
				if !killed {
					give(b)
				}
				a.take(places, 0)
			}
		}
		// The shelf may have what was begun elsewhere by then: that is read again, and right.
		move("room:0")
		if kept, _, err := a.l.Load("room:0", "fresh"); !errors.Is(err, ledger.ErrNotTaken) && (err != nil || kept.Position.Seq != 2) {
			t.Errorf("what was read before it moved was loaded: %+v, %v", kept.Position, err)
		}
		want(t, "after it moved it has", a.has("room:0"), "[one two]")
		move("room:3")
		err := a.l.Import("room:3", &broker.Kept{Position: broker.Position{Epoch: "e", Seq: 7}}, "fresh")
		if !errors.Is(err, ledger.ErrNotTaken) && !errors.Is(err, ledger.ErrExists) && !errors.Is(err, mesh.ErrConflict) {
			t.Errorf("import over what was begun elsewhere: %v", err)
		}
		want(t, "what was begun elsewhere has", a.has("room:3"), "[one two]")
	}
}

// Who does not know yet that its partition was taken leaves the refs of the next owner alone.
func TestRefsOfTheNextOwner(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	a.take(places, 0)
	a.publish("room:0", "one")
	b.take(places, 0)
	refs := a.l.Refs(0, places[0].refs)
	if len(refs) == 0 || refs[len(refs)-1].Session != b.session {
		t.Errorf("of %+v it leaves %+v", places[0].refs, refs)
	}
}

// reading is a log of which nothing is read before something else has happened.
type reading struct {
	mesh.Log
	after func()
}

func (r reading) Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error {
	err := r.Log.Read(ctx, from, to, f)
	r.after()
	return err
}

// A partition that is dropped while it is taken is not served: what was read of it is gone, and the process may own it again by the time it has been taken. Others that are taken with it are.
func TestDroppedWhileTaken(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	after := func() {}
	a := start(t, m, 0)
	b := start(t, m, 1, func(c *ledger.Config) {
		logs := c.Logs
		c.Logs = func(slot int) mesh.Log { return reading{logs(slot), func() { after() }} }
	})
	a.take(places, 0, 1)
	a.publish("room:0", "one", "two")
	a.publish("room:1", "uno")
	after = func() { b.l.Drop(0) }
	b.take(places, 0, 1)
	after = func() {}
	if b.l.Serves(0) || !b.l.Serves(1) {
		t.Errorf("served: partition 0 %t, want false; partition 1 %t, want true", b.l.Serves(0), b.l.Serves(1))
	}
	if !b.l.Serves(0) {
		b.take(places, 0)
	}
	want(t, "partition 0 has", b.has("room:0"), "[one two]")
	want(t, "partition 1 has", b.has("room:1"), "[uno]")
}

// Channels are listed whether the shelf or the log has them.
func TestList(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	a.take(places, 0, 1, 2)
	a.publish("room:0", "one", "two")
	a.publish("room:1", "uno")
	a.publish("hall:0", "eins")
	b.take(places, 0, 1, 2)
	until(t, "all is on the shelf", func() bool { return b.l.Stats().Backlog == 0 })
	b.publish("room:2", "ichi")
	list, err := b.l.List("room:", "room:0", 10)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, fmt.Sprint(i.Name, i.Position.Seq, i.Items, i.Changes))
	}
	want(t, "names", names, "[room:11 1 1 room:21 1 1]")
	if _, err := b.b.Drop("room:1"); err != nil {
		t.Fatal(err)
	}
	b.publish("room:2", "ni")
	if list, err = b.l.List("", "", 1); err != nil || len(list) != 1 || list[0].Name != "hall:0" {
		t.Errorf("the first one: %v, %v", list, err)
	}
	if list, err = b.l.List("room:", "room:0", 10); err != nil || len(list) != 1 {
		t.Errorf("without what was dropped: %v, %v", list, err)
	}
}

// What another version has written is refused with a sentence, and nothing is taken.
func TestOtherVersion(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	places.claim(0, 0, strings.Repeat("x", 26), 1)
	if _, err := a.node.Log(0).Append(context.Background(), []byte("WLF9"+"f"+strings.Repeat("x", 26)+"what nobody knows"), 1); err != nil {
		t.Fatal(err)
	}
	err := b.l.Take(context.Background(), []ledger.Claim{places.claim(0, 1, b.session, b.from)})
	if !errors.Is(err, ledger.ErrFormat) || !strings.Contains(err.Error(), "start the other version") {
		t.Errorf("take: %v", err)
	}
	if b.l.Serves(0) {
		t.Error("it is served")
	}
	ctx := context.Background()
	_, revision, err := a.node.Shelf().Get(ctx, "format")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = a.node.Shelf().Put(ctx, revision, mesh.Value{Key: "format", Data: []byte("WLC9")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.l.Begin(ctx, 1, ledger.Made{}); !errors.Is(err, ledger.ErrFormat) || !strings.Contains(err.Error(), "start the other version") {
		t.Errorf("begin: %v", err)
	}
}

// Names with a NUL, changes that no message holds, and what comes when the servers are away and may not be waited for are refused before they change anything.
func TestRefused(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a := start(t, m, 0)
	a.take(places, 0, 1, 2)
	for _, x := range []struct {
		channel, key string
		size         int
		err          error
	}{{"room\x000", "k", 1, ledger.ErrName}, {"room:0", "k\x00", 1, ledger.ErrName}, {"room:0", "k", a.node.Log(0).Limit(), ledger.ErrTooLarge}} {
		if _, err := a.b.Publish(x.channel, &broker.Publication{Op: broker.Set, Key: x.key, Data: make([]byte, x.size)}); !errors.Is(err, x.err) {
			t.Errorf("%q %q %d: %v", x.channel, x.key, x.size, err)
		}
	}
	a.publish("room:0", "one")
	m.Shut(true)
	if _, err := a.b.Publish("room:0", &broker.Publication{Op: broker.Set, Key: "k", Data: []byte("1")}); !errors.Is(err, ledger.ErrFailing) {
		t.Fatalf("servers are away: %v", err)
	}
	before, _ := a.b.At("room:0")
	if _, err := a.b.Publish("room:0", &broker.Publication{Op: broker.Set, Key: "k", Data: []byte("1")}); !errors.Is(err, ledger.ErrFailing) {
		t.Fatalf("servers are away: %v", err)
	}
	if after, _ := a.b.At("room:0"); after != before {
		t.Errorf("what was refused is at %v", after)
	}
	if _, err := a.b.Publish("room:0", &broker.Publication{Op: broker.Set, Key: "m", Data: []byte("1"), Ack: broker.AckMemory}); err != nil {
		t.Errorf("what need not be safe: %v", err)
	}
	m.Shut(false)
	until(t, "it heals", func() bool { return a.l.Stats().Failing == nil })
	a.publish("room:0", "two")
	want(t, "the channel has", a.has("room:0"), "[one k m two]")
}
