package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/contain"
)

// brittle is a subscriber that panics over changes while it is asked to, and notes what else it is told.
type brittle struct {
	panics atomic.Int32
	seen   []string
	broken bool
}

func (o *brittle) Apply(c *Change) {
	if o.panics.Load() > 0 {
		o.panics.Add(-1)
		panic("over " + string(c.Encoded))
	}
	o.seen = append(o.seen, string(c.Encoded))
}
func (o *brittle) Reset(Reply) {}
func (o *brittle) Break()      { o.broken = true }

// tried publishes, and answers what it panicked with.
func tried(b *Broker, channel string, p Publication) (v any) {
	defer func() { v = recover() }()
	_, _ = b.Publish(channel, &p)
	return nil
}

// A panic in the middle of a change costs its channel: readers are ended, no lock stays held, and nobody goes on from what may
// be half of something. The next one finds another epoch.
func TestPanicInAChange(t *testing.T) {
	o := &brittle{}
	b := open(t, Config{Subscriber: func(*Channel) Subscriber { return o }})
	publish(t, b, "c", Publication{Op: Set, Group: "g", Key: "k"})
	var at Position
	c, err := b.Join("c", JoinRequest{}, func(_ Subscriber, r Reply) { at = r.Position })
	if err != nil {
		t.Fatal(err)
	}
	o.panics.Store(1)
	if tried(b, "c", Publication{Op: Send}) == nil {
		t.Fatal("it does not panic")
	}
	if !o.broken {
		t.Error("the readers are not ended")
	}
	c.Leave()
	o.broken = false
	o.panics.Store(0)
	var reply Reply
	if c, err = b.Join("c", JoinRequest{From: &at}, func(_ Subscriber, r Reply) { reply = r }); err != nil {
		t.Fatal(err)
	}
	if reply.Recovered || !reply.Lost || reply.Position.Epoch == at.Epoch {
		t.Errorf("%+v after %+v", reply, at)
	}
	publish(t, b, "c", Publication{Op: Send})
	if len(o.seen) != 1 {
		t.Errorf("heard %s", o.seen)
	}
	c.Leave()
	if s := b.Stats(); s.Items != 0 {
		t.Errorf("%+v", s)
	}
}

// A panic while somebody joins leaves nobody counted as joined.
func TestPanicWhileJoining(t *testing.T) {
	b := open(t, Config{})
	func() {
		defer func() { _ = recover() }()
		_, _ = b.Join("c", JoinRequest{}, func(Subscriber, Reply) { panic("no") })
	}()
	if _, ok := b.Read("c", nil); ok {
		t.Error("the channel stays")
	}
}

// keeper is a store of which everything can be made to panic, and which says when it has all.
type keeper struct {
	Memory
	loads  int
	panics atomic.Int32
	ready  atomic.Bool
	kept   Kept
}

func (k *keeper) Append(log Log, e Entry) (Receipt, error) {
	at := log.Next()
	k.kept.Position = at
	k.kept.Items = append(k.kept.Items, KeptItem{Group: e.Group, Key: e.Key, Data: []byte("1")})
	log.Apply(&e)
	return Receipt{Position: at}, nil
}

func (k *keeper) Load(string, string) (Kept, bool, error) {
	k.loads++
	if k.panics.Load() > 0 {
		k.panics.Add(-1)
		panic("load")
	}
	return k.kept, k.loads > 1 && len(k.kept.Items) > 0, nil
}
func (k *keeper) Release(string) bool                      { return k.ready.Load() }
func (k *keeper) Confirm(Log) Receipt                      { return Receipt{} }
func (k *keeper) Note(Log, string) (Receipt, error)        { return Receipt{}, nil }
func (k *keeper) List(string, string, int) ([]Info, error) { return nil, nil }

// A durable channel that breaks off in the middle of a change is refused until its store has all of it, and is then what
// the store has.
func TestPanicInADurableChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, k := &brittle{}, &keeper{}
		b := open(t, Config{Store: k, Policy: func(string) Policy { return Policy{Durable: true} }, Subscriber: func(*Channel) Subscriber { return o }})
		c, err := b.Join("c", JoinRequest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.panics.Store(1)
		if tried(b, "c", Publication{Op: Set, Key: "half"}) == nil || !o.broken {
			t.Fatal("it does not panic")
		}
		if _, err := b.Publish("c", &Publication{Op: Set, Key: "later"}); !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		if _, err := b.Drop("c"); !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		c.Leave()
		time.Sleep(10 * time.Second)
		if _, err := b.Join("c", JoinRequest{}, nil); !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		k.ready.Store(true)
		time.Sleep(2 * brokenStep)
		synctest.Wait()
		if _, _, ok := b.Item("c", defaultGroup, "half"); !ok {
			t.Error("what the store has is not there")
		}
		publish(t, b, "c", Publication{Op: Set, Key: "later"})
		_ = b.Close()
	})
}

// A panic while a channel is loaded costs who has asked for it, and nobody who waits for it.
func TestPanicWhileLoading(t *testing.T) {
	k := &keeper{}
	k.panics.Store(1)
	b := open(t, Config{Store: k, Policy: func(string) Policy { return Policy{Durable: true} }})
	if tried(b, "c", Publication{Op: Set, Key: "k"}) == nil {
		t.Fatal("it does not panic")
	}
	publish(t, b, "c", Publication{Op: Set, Key: "k"})
}

// A panic over a deadline has that one tried again later, and the expirer go on with the others.
func TestPanicOfTheExpirer(t *testing.T) {
	for _, at := range []string{"broker expirer", "broker deadline", "broker deadline put off", "subscriber"} {
		synctest.Test(t, func(t *testing.T) {
			o, left, told := &brittle{}, 1, 0
			var mu sync.Mutex // the expirers are several
			contain.Throw(func(where string) {
				mu.Lock()
				defer mu.Unlock()
				if where == at && left > 0 || at == "broker deadline put off" && where == "broker deadline" && left == 1 {
					if where == at {
						left--
					}
					panic("thrown by the test at " + where)
				}
			})
			defer contain.Throw(nil)
			b := open(t, Config{Panic: func(string, any) { mu.Lock(); defer mu.Unlock(); told++ }, Subscriber: func(*Channel) Subscriber { return o }})
			_, err := b.Join("a", JoinRequest{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 20 {
				publish(t, b, fmt.Sprint("c", n), Publication{Op: Set, Key: "k", TTL: time.Second})
			}
			publish(t, b, "a", Publication{Op: Set, Key: "k", TTL: time.Second})
			if at == "subscriber" {
				o.panics.Store(1)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if s := b.Stats(); s.Items != 0 {
				t.Errorf("%s: %d items are left", at, s.Items)
			}
			if told == 0 {
				t.Errorf("%s: nobody was told", at)
			}
			_ = b.Close()
		})
	}
}
