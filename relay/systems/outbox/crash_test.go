//go:build unix

package outbox_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/problem"
	"weir/relay/relaytest"
	"weir/relay/systems/outbox"
)

// inOrder checks that a channel's log has numbers that grow, and returns them.
func inOrder(t *testing.T, list []string) (numbers []int) {
	t.Helper()
	last := -1
	for _, text := range list {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n <= last {
			t.Fatalf("%s after %d: %v", text, last, err)
		}
		last = n
		numbers = append(numbers, n)
	}
	return numbers
}

// TestDatabaseKilled: each row that was committed is published once and in order, however often the server is killed meanwhile.
func TestDatabaseKilled(t *testing.T) {
	d := newTable(t)
	g := d.follow(func(c *config.Config) {
		c.Namespaces["kept"] = config.Namespace{History: config.History{Size: new(10000)}, Durable: true}
		c.Data, config.Of[outbox.Config](c).Batch = t.TempDir(), 10
	})
	var committed, goal atomic.Int64 // the goal is as far as the writer goes
	var last atomic.Bool             // it is the last one
	written := make(chan []int)
	go func() { // ends when the last goal is reached, which the test waits for
		var list []int
		ctx := context.Background()
		conn := server.Connect(t)
		for n := 0; ; n++ {
			for committed.Load() >= goal.Load() && !last.Load() {
				<-time.After(time.Millisecond)
			}
			if committed.Load() >= goal.Load() {
				break
			}
			_, err := conn.Exec(ctx, `INSERT INTO `+d.table+` (channel, data) VALUES ('kept:1', $1)`, fmt.Sprint(n))
			if err == nil {
				list = append(list, n)
				committed.Add(1)
				continue
			}
			for conn.IsClosed() { // the server is gone; whether the row is there is unknown
				if c, err := server.Dial(ctx); err == nil {
					conn = c
				} else {
					<-time.After(10 * time.Millisecond)
				}
			}
		}
		_ = conn.Close(ctx)
		written <- list
	}()
	for range 3 {
		at, published := committed.Load(), metric(g, "weir_outbox_published_total")
		goal.Store(at + 80)
		relaytest.Until(t, "rows are written", func() bool { return committed.Load() >= at+20 })
		relaytest.Until(t, "rows are published, more than one batch: there is a connection again", func() bool { return metric(g, "weir_outbox_published_total") > published+10 })
		server.Kill()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	last.Store(true)
	want := <-written
	d = &db{t, server.Connect(t), d.table}
	d.empty()
	got := make(map[int]bool)
	for _, n := range inOrder(t, events(g, "kept:1")) {
		got[n] = true
	}
	for _, n := range want {
		if !got[n] {
			t.Error("lost:", n)
		}
	}
	if n := metric(g, "weir_outbox_errors_total"); n < 3 {
		t.Error(n, "connections broke")
	}
}

// TestPublishedAndNotDeleted: rows that come again are known by their key.
func TestPublishedAndNotDeleted(t *testing.T) {
	d := newTable(t)
	data := t.TempDir()
	prepare := func(c *config.Config) { c.Data, c.Namespaces["kept"] = data, config.Namespace{Durable: true} }
	d.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$`)
	d.sql(`CREATE TRIGGER refuse BEFORE DELETE ON outbox EXECUTE FUNCTION refuse()`) // as if weir had ended between the two
	for i := range 5 {
		d.send("kept:1", i)
	}
	g := d.follow(prepare)
	logged(g, "not now")
	arrive(g, "kept:1", "0", "1", "2", "3", "4")
	g.Stop()
	g = d.follow(prepare)
	logged(g, "not now")
	d.send("kept:1", 5)
	d.sql(`DROP TRIGGER refuse ON outbox`)
	d.empty()
	arrive(g, "kept:1", "0", "1", "2", "3", "4", "5")
}

// refusing is a system whose channels refuse for now.
type refusing struct{ on *atomic.Bool }

func (refusing) Name() string { return "refusing" }
func (refusing) Close()       {}

func (r refusing) Start(host relay.Host) error {
	if err := host.Reserve("full", config.Namespace{}); err != nil {
		return err
	}
	host.Carry("full", func(channel string, p *broker.Publication) (broker.Receipt, error) {
		if r.on.Load() {
			return broker.Receipt{}, problem.Storage
		}
		return host.Broker().Submit(channel, p)
	})
	return nil
}

// TestRefusedForNow: a channel that refuses for now holds up itself only, and keeps its order.
func TestRefusedForNow(t *testing.T) {
	d := newTable(t)
	on := new(atomic.Bool)
	on.Store(true)
	g := d.follow(func(c *config.Config) { config.Of[outbox.Config](c).Batch = 2 }, refusing{on: on})
	for i := range 6 {
		d.send("full:1", i)
		d.send("other:1", i)
	}
	arrive(g, "other:1", "0", "1", "2", "3", "4", "5")
	relaytest.Until(t, "it is tried again", func() bool { return metric(g, "weir_outbox_retries_total") > 2 })
	if n := metric(g, "weir_outbox_held_channels"); n != 1 {
		t.Error(n)
	}
	on.Store(false)
	arrive(g, "full:1", "0", "1", "2", "3", "4", "5")
	d.empty()
	if n := metric(g, "weir_outbox_failed_total"); n != 0 {
		t.Error(n)
	}
}

// TestTwoRelays: of two that are no cluster one waits until the other ends.
func TestTwoRelays(t *testing.T) {
	d := newTable(t)
	first := d.follow(nil)
	logged(first, "this process reads the outbox")
	second := d.follow(func(c *config.Config) { config.Of[outbox.Config](c).Poll = 50 * time.Millisecond })
	logged(second, "another process reads the outbox")
	d.send("c", 1)
	arrive(first, "c", "1")
	first.Stop()
	d.send("c", 2)
	arrive(second, "c", "2")
}

// TestNodes: one node of a cluster reads, and another one when that is gone. One that is cut off and does not know it yet is ended by the database.
func TestNodes(t *testing.T) {
	d := newTable(t)
	n := relaytest.Cluster(t, 3, d.config(func(c *config.Config) {
		o := config.Of[outbox.Config](c)
		o.Poll, o.Takeover = 50*time.Millisecond, 200*time.Millisecond
	}), func() []relay.System { return []relay.System{outbox.New()} })
	reads := func(except int) int {
		t.Helper()
		found := -1
		relaytest.Until(t, "a node reads", func() bool {
			for i, g := range n.Rigs {
				if i != except && metric(g, "weir_outbox_reading") == 1 {
					found = i
				}
			}
			return found >= 0
		})
		return found
	}
	reader := reads(-1)
	var want []string
	for i := range 20 {
		d.send("c:1", i)
		want = append(want, fmt.Sprint(i))
	}
	arrive(n.Rigs[(reader+1)%3], "c:1", want...)
	n.Cut(reader)
	other := reads(reader)
	for i := range 20 {
		d.send(fmt.Sprint("d:", i), i) // of all owners
	}
	d.empty()
	n.Heal()
	if other == reader {
		t.Error(other)
	}
}

// TestPanics throws a panic where the goroutine begins: it begins again.
func TestPanics(t *testing.T) {
	var thrown atomic.Int64
	contain.Throw(func(where string) {
		if (where == "outbox" || where == "outbox loop") && thrown.Add(1) == 2 {
			panic("thrown by the test")
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	d := newTable(t)
	g := d.follow(nil)
	relaytest.Until(t, "the loop begins anew", func() bool { return thrown.Load() > 2 })
	d.send("c", 1)
	arrive(g, "c", "1")
}
