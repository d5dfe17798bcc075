package broker

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errDisk = errors.New("disk full")

// syncing is an inline journal whose acknowledgement waits, as one on disk would.
type syncing struct {
	Memory
	fail     atomic.Bool
	appended []string
	synced   chan struct{} // closed when everything is on disk
	forgot   []string
}

func (j *syncing) Append(log Log, e Entry) (Receipt, error) {
	if j.fail.Load() {
		return Receipt{}, errDisk
	}
	next := log.Next()
	at := log.Apply(&e)
	if at != next {
		return Receipt{}, fmt.Errorf("applied at %v, not %v", at, next)
	}
	j.appended = append(j.appended, fmt.Sprintf("%s %d %s %s", log.Channel(), at.Seq, e.Op, e.Data))
	return Receipt{Position: at, Wait: func() (Position, error) { <-j.synced; return at, nil }}, nil
}

func (j *syncing) Forget(channel string) { j.forgot = append(j.forgot, channel) }

func TestJournalAcknowledgesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &syncing{synced: make(chan struct{})}
		b := open(t, Config{Journal: j})
		acknowledged := false
		go func() { // ends when the journal has synced
			if _, err := b.Publish("c", &Publication{Op: Set, Key: "k", Data: []byte(`1`)}); err != nil {
				t.Error(err)
			}
			acknowledged = true
		}()
		synctest.Wait()
		if _, _, ok := b.Item("c", "", "k"); !ok || acknowledged {
			t.Errorf("applied %t, acknowledged %t before the journal synced", ok, acknowledged)
		}
		close(j.synced)
		synctest.Wait()
		if !acknowledged {
			t.Error("not acknowledged")
		}
		b.Clear("c")
		if !slices.Equal(j.appended, []string{"c 1 set 1"}) || !slices.Equal(j.forgot, []string{"c"}) {
			t.Errorf("appended %q, forgot %q", j.appended, j.forgot)
		}
		_ = b.Close()
	})
}

// A journal that refuses changes nothing; an item's end is tried again until it works.
func TestJournalRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &syncing{synced: make(chan struct{})}
		close(j.synced)
		b := open(t, Config{Journal: j})
		publish(t, b, "c", Publication{Op: Set, Key: "k", TTL: time.Second})
		j.fail.Store(true)
		if _, err := b.Publish("c", &Publication{Op: Send, IdempotencyKey: "i"}); !errors.Is(err, errDisk) {
			t.Errorf("publish: %v", err)
		}
		if _, count, err := b.DeleteGroup("c", ""); !errors.Is(err, errDisk) || count != 0 {
			t.Errorf("delete group: %d %v", count, err)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if _, at, ok := b.Item("c", "", "k"); !ok || at.Seq != 1 {
			t.Errorf("at %v, item %t", at, ok)
		}
		j.fail.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, at, ok := b.Item("c", "", "k"); ok || at.Seq != 2 {
			t.Errorf("at %v, item %t", at, ok)
		}
		_ = b.Close()
	})
}

// stream is a journal that gives the order itself and applies from a goroutine of its own, as one on
// several nodes would: all brokers that read it agree.
type stream struct {
	epoch string
	queue chan record
	done  sync.WaitGroup
	once  sync.Once
}

type record struct {
	channel string
	entry   Entry
	applied chan Position
}

func newStream(epoch string) *stream { return &stream{epoch: epoch, queue: make(chan record, 1024)} }

func (s *stream) Append(log Log, e Entry) (Receipt, error) {
	e.Data = bytes.Clone(e.Data)
	r := record{log.Channel(), e, make(chan Position, 1)}
	s.queue <- r // room for all that the test sends
	return Receipt{Wait: func() (Position, error) { return <-r.applied, nil }}, nil
}

func (s *stream) Forget(string) {}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.queue) })
	s.done.Wait()
	return nil
}

// read applies what is appended to all brokers. Close stops it and waits.
func (s *stream) read(t *testing.T, brokers ...*Broker) {
	s.done.Go(func() {
		seqs := make(map[string]uint64)
		for r := range s.queue {
			seqs[r.channel]++
			at := Position{s.epoch, seqs[r.channel]}
			for _, b := range brokers {
				if err := b.Apply(r.channel, at, r.entry); err != nil {
					t.Error(err)
				}
			}
			r.applied <- at
		}
	})
}

func TestJournalAppliesLater(t *testing.T) {
	s := newStream("stream1")
	config := Config{Journal: s, Subscriber: newRecorder}
	one, two := open(t, config), open(t, config)
	var seen reader
	if _, err := two.Join("c", JoinRequest{}, func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) }); err != nil {
		t.Fatal(err)
	}
	s.read(t, one, two)
	var publishers sync.WaitGroup
	for i, b := range []*Broker{one, two} {
		publishers.Go(func() {
			for n := range 100 {
				p := Publication{Op: Set, Key: fmt.Sprint(n % 7), Data: fmt.Append(nil, i)}
				if _, err := b.Publish("c", &p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	first, _ := one.Read("c", nil)
	second, _ := two.Read("c", nil)
	if first.Position != (Position{"stream1", 200}) || second.Position != first.Position || string(first.State) != string(second.State) {
		t.Errorf("%v %s and %v %s", first.Position, first.State, second.Position, second.State)
	}
	for i, encoded := range seen.changes {
		if change := decode[wire](t, encoded); change.Seq != uint64(i+1) {
			t.Fatalf("change %d has seq %d", i, change.Seq)
		}
	}
	if len(seen.changes) != 200 || len(seen.resets) != 0 {
		t.Errorf("%d changes, %d resets", len(seen.changes), len(seen.resets))
	}
}

func TestApply(t *testing.T) {
	b := open(t, Config{Subscriber: newRecorder})
	var seen reader
	if _, err := b.Join("c", JoinRequest{}, func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) }); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		at             Position
		seq            uint64 // afterwards
		changes, reset int
	}{
		{Position{"e1", 5}, 5, 1, 0}, // the channel had nothing to lose
		{Position{"e1", 6}, 6, 2, 0}, // the next
		{Position{"e1", 6}, 6, 2, 0}, // once more
		{Position{"e1", 3}, 6, 2, 0}, // long known
		{Position{"e1", 9}, 9, 3, 1}, // a gap
		{Position{"e2", 1}, 1, 4, 2}, // another log
		{Position{"e2", 2}, 2, 5, 2}, // and its next
		{Position{"e3", 2}, 2, 6, 3}, // a log whose beginning is unknown
		{Position{"e3", 3}, 3, 7, 3}, // and its next
		{Position{"e3", 99}, 99, 8, 4} /* a gap again */} {
		if err := b.Apply("c", test.at, Entry{Op: Send}); err != nil {
			t.Fatal(err)
		}
		r, _ := b.Read("c", nil)
		if r.Position != (Position{test.at.Epoch, test.seq}) || len(seen.changes) != test.changes || len(seen.resets) != test.reset {
			t.Errorf("%v: at %v, %d changes, %d resets", test.at, r.Position, len(seen.changes), len(seen.resets))
		}
	}
	for i, want := range []Position{{"e1", 8}, {"e2", 0}, {"e3", 1}, {"e3", 98}} {
		if seen.resets[i].Position != want {
			t.Errorf("reset %d at %v, want %v", i, seen.resets[i].Position, want)
		}
	}
	for _, at := range []Position{{}, {"e3", 0}, {"", 100}} {
		if err := b.Apply("c", at, Entry{Op: Send}); err == nil {
			t.Errorf("%v was applied", at)
		}
	}
	// What is dropped for a foreign epoch takes the slot's own with it.
	own := publish(t, b, "d", Publication{Op: Send})
	if err := b.Apply("d", Position{"e1", 1}, Entry{Op: Send}); err != nil {
		t.Fatal(err)
	}
	if at, _ := b.Clear("d"); at.Epoch == own.Epoch || at.Epoch == "e1" {
		t.Errorf("epoch %s again", at.Epoch)
	}
}
