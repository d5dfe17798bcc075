package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// elder is another process, which has all channels as long as it does.
type elder struct {
	has  atomic.Bool
	left atomic.Int32 // channels that are not followed any more
}

func (e *elder) Elsewhere(string) bool { return e.has.Load() }
func (e *elder) Publish(string, *Publication) (Receipt, error) {
	return Receipt{}, errors.New("handed on")
}
func (e *elder) Follow(string) (Kept, bool, error) {
	return Kept{Position: Position{Epoch: "elder", Seq: 1}, Items: []KeptItem{{Group: defaultGroup, Key: "k", Data: []byte("1")}}}, true, nil
}
func (e *elder) Unfollow(string) { e.left.Add(1) }

// slowStore is a store that is waited for: each load takes a second.
type slowStore struct {
	keeper
	times     atomic.Uint64 // how often it has lost its channels and got them back
	meanwhile func()        // called once when a channel has been read; nil: nothing is
}

func (s *slowStore) Tenure(string) uint64 { return 1 + s.times.Load() }

func (s *slowStore) Load(channel, fresh string) (Kept, bool, error) {
	k, ok, err := s.keeper.Load(channel, fresh)
	time.Sleep(time.Second)
	if f := s.meanwhile; f != nil {
		s.meanwhile = nil
		f()
	}
	return k, ok, err
}

// replicated is a broker that follows the channel c of another process; its store has something else of that.
func replicated(t *testing.T) (*Broker, *elder, *slowStore) {
	e, k := &elder{}, &slowStore{}
	e.has.Store(true)
	k.loads = 1 // a keeper has nothing at first
	k.kept = Kept{Position: Position{Epoch: "store", Seq: 7}, Items: []KeptItem{{Group: defaultGroup, Key: "k", Data: []byte("7")}}}
	b := open(t, Config{Cluster: e, Store: k, Policy: func(string) Policy { return Policy{Durable: true} }})
	if _, err := b.Join("c", JoinRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	return b, e, k
}

// Who must not wait does not wait for a store either: not for a channel that is not there, and not for one that holds nothing.
func TestJoinWhatIsLoaded(t *testing.T) {
	k := &keeper{}
	b := open(t, Config{Store: k, Policy: func(string) Policy { return Policy{Durable: true} }})
	if _, err := b.Join("c", JoinRequest{Loaded: true}, nil); !errors.Is(err, ErrNotLoaded) || k.loads != 0 {
		t.Fatalf("%v, loaded %d times", err, k.loads)
	}
	held, err := b.Join("c", JoinRequest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Join("c", JoinRequest{Loaded: true}, nil)
	if err != nil || k.loads != 1 {
		t.Fatalf("%v, loaded %d times", err, k.loads)
	}
	c.Leave()
	held.Leave()
}

// A replica whose channel has come to this process is not ready to be published to before the store has been asked, and Load does that: once, whoever waits for it.
func TestReplicaIsLoadedFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, e, k := replicated(t)
		if p := b.Publisher(); !p.Ready("c") {
			t.Error("another process's is not ready")
		}
		e.has.Store(false)
		if p := b.Publisher(); p.Ready("c") {
			t.Error("it is ready before it was loaded")
		}
		begun := time.Now()
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() { errs <- b.Load("c") }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if at, err := b.At("c"); err != nil || at != (Position{Epoch: "store", Seq: 7}) || k.loads != 2 || time.Since(begun) != time.Second {
			t.Errorf("%v %v, loaded %d times in %v", at, err, k.loads-1, time.Since(begun))
		}
		if p := b.Publisher(); !p.Ready("c") {
			t.Error("it is not ready")
		}
		_ = b.Close()
	})
}

// What a replica has is not read once its channel has come to this process: the store may not have all of it, and who finds an item there acts on that.
func TestReplicaIsNotReadInsteadOfTheStore(t *testing.T) {
	for name, read := range map[string]func(b *Broker) string{
		"Item": func(b *Broker) string {
			data, at, _ := b.Item("c", "", "k")
			return fmt.Sprint(string(data), at.Seq)
		},
		"Read": func(b *Broker) string {
			r, _ := b.Read("c", nil)
			return fmt.Sprint(string(r.State), r.Position.Seq)
		},
		"History": func(b *Broker) string {
			_, _, at, _ := b.History("c", 0, 10)
			return fmt.Sprint(at.Seq)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, e, k := replicated(t)
			replica := read(b)
			e.has.Store(false)
			if got := read(b); got == replica || !strings.Contains(got, "7") || k.loads != 2 {
				t.Errorf("%s finds %s, before that %s; loaded %d times", name, got, replica, k.loads-1)
			}
			_ = b.Close()
		})
	}
}

// A replica whose channel comes to this process and goes again while the store is asked stays a replica: what another process tells of it counts.
func TestReplicaMovesWhileItIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, e, k := replicated(t)
		e.has.Store(false)
		k.meanwhile = func() {
			e.has.Store(true)
			b.Demote("c")
		}
		if err := b.Load("c"); err != nil {
			t.Fatal(err)
		}
		if err := b.Feed("c", "elder", 2, &Entry{Op: Send, Data: []byte("2")}); err != nil {
			t.Fatal(err)
		}
		if at, err := b.At("c"); err != nil || at != (Position{Epoch: "elder", Seq: 2}) {
			t.Errorf("it is at %v (%v) after what its owner has told", at, err)
		}
		_ = b.Close()
	})
}

// A channel that goes to another process while the store is asked, is changed there and comes back is loaded as it is by then, be it a replica or not in memory before.
func TestLoadedInAnotherTenure(t *testing.T) {
	for _, name := range []string{"c", "d"} { // of which the first is a replica
		synctest.Test(t, func(t *testing.T) {
			b, e, k := replicated(t)
			e.has.Store(false)
			k.meanwhile = func() {
				k.kept.Position.Seq = 8
				k.times.Add(1)
			}
			if err := b.Load(name); err != nil {
				t.Fatal(err)
			}
			if at, err := b.At(name); err != nil || at != (Position{Epoch: "store", Seq: 8}) || k.loads != 3 {
				t.Errorf("%s is at %v (%v), loaded %d times", name, at, err, k.loads-1)
			}
			_ = b.Close()
		})
	}
}

// A replica without readers leaves memory when its channel is given up: nobody tells it of changes any more, and a reader that found it there would never hear of any.
func TestUnusedReplicaIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, e, _ := replicated(t)
		r, err := b.Join("c", JoinRequest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Demote("c") || e.left.Load() != 0 {
			t.Error("one with readers is not of use")
		}
		r.Leave()
		r.Leave()
		if b.Demote("c") || e.left.Load() != 1 || b.Stats().Channels != 0 {
			t.Errorf("%d channels are in memory, %d were given up", b.Stats().Channels, e.left.Load())
		}
		_ = b.Close()
	})
}

// latter is a store that applies what it was given when it is told to. It has nothing.
type latter struct {
	keeper
	waits []Deferred
}

func (s *latter) Append(log Log, e Entry) (Receipt, error) {
	d := log.Defer(&e)
	s.waits = append(s.waits, d)
	return Receipt{Position: d.at}, nil
}
func (s *latter) Load(string, string) (Kept, bool, error) { return Kept{}, false, nil }

// What was deferred and never applied is not acknowledged by its idempotency key when the channel has gone elsewhere and come back.
func TestKeysOfWhatWasNeverApplied(t *testing.T) {
	e, s := &elder{}, &latter{}
	b := open(t, Config{Cluster: e, Store: s, Policy: always(Policy{Durable: true, AfterDisk: true, Idempotency: time.Hour})})
	c, err := b.Join("c", JoinRequest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Leave()
	for _, key := range []string{"kept", "lost"} {
		if _, err := b.Submit("c", &Publication{Op: Send, Data: []byte("1"), IdempotencyKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	s.waits[0].Apply()
	if k, err := b.Export("c"); err != nil || len(k.Keys) != 1 || k.Keys[0].Key != "kept" { // who follows it may own it later
		t.Errorf("other processes get %+v %v", k.Keys, err)
	}
	b.Demote("c")
	if seq, ok := c.keys.find("kept"); !ok || seq != 1 {
		t.Errorf("what was applied is at %d, known: %t", seq, ok)
	}
	if seq, ok := c.keys.find("lost"); ok {
		t.Errorf("what was not applied is at %d", seq)
	}
}

// counted is a tap that counts.
type counted struct{ changes, resets int }

func (c *counted) Apply(uint64, *Entry) { c.changes++ }
func (c *counted) Reset(*Kept)          { c.resets++ }

// A channel of the store that another process follows stays in memory, and who follows it is told when it has been taken from here.
func TestFollowedChannelStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		k.ready.Store(true)
		b := open(t, Config{Cluster: &elder{}, Store: k, Policy: always(Policy{Durable: true, History: 10})})
		publish(t, b, "c", Publication{Op: Set, Key: "k", Data: []byte("1")})
		tap := new(counted)
		if err := b.Tap("c", Position{}, func(Tap, *Kept, bool) Tap { return tap }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * idleTime)
		publish(t, b, "c", Publication{Op: Set, Key: "k", Data: []byte("2")})
		if tap.changes != 1 {
			t.Errorf("%d changes were told, want 1", tap.changes)
		}
		if b.Demote("c"); tap.resets != 1 {
			t.Errorf("told %d times that it was taken away", tap.resets)
		}
		publish(t, b, "d", Publication{Op: Set, Key: "k", Data: []byte("1")})
		if err := b.Tap("d", Position{}, func(Tap, *Kept, bool) Tap { return tap }); err != nil {
			t.Fatal(err)
		}
		b.Untap("d", func(Tap) Tap { return nil })
		time.Sleep(10 * idleTime)
		synctest.Wait()
		if n := b.Stats().Channels; n != 0 {
			t.Errorf("%d channels are in memory that nobody follows any more", n)
		}
		_ = b.Close()
	})
}

// Nobody uses a channel while it is excluded, and one that is in memory is not.
func TestExclude(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		b := open(t, Config{Store: k, Policy: always(Policy{Durable: true})})
		joined := make(chan error, 1)
		err := b.Exclude("c", func(fresh string) error {
			go func() {
				_, err := b.Join("c", JoinRequest{}, nil)
				joined <- err
			}()
			synctest.Wait()
			if len(joined) > 0 || k.loads > 0 || fresh == "" {
				t.Errorf("it is in use: loaded %d times, fresh %q", k.loads, fresh)
			}
			return nil
		})
		if err := errors.Join(err, <-joined); err != nil || k.loads != 1 {
			t.Errorf("%v, loaded %d times", err, k.loads)
		}
		if err := b.Exclude("c", nil); !errors.Is(err, ErrUsed) {
			t.Error(err)
		}
		_ = b.Close()
	})
}
