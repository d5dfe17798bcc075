package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// follower is a cluster whose channels all belong to another broker.
type follower struct{ owner *Broker }

func (f follower) Elsewhere(string) bool                         { return true }
func (f follower) Publish(string, *Publication) (Receipt, error) { return Receipt{}, errReplica }
func (f follower) Unfollow(string)                               {}

// Follow tells what there is.
func (f follower) Follow(channel string) (Kept, bool, error) {
	return f.missed(channel, Position{}), true, nil
}

// missed is what the owner answers to who stands at a position.
func (f follower) missed(channel string, since Position) (kept Kept) {
	_ = f.owner.Tap(channel, since, func(before Tap, k *Kept, _ bool) Tap {
		kept = *k
		return before
	})
	return kept
}

// sinceRig is an owner and a replica of its channel "c", whose log holds ten changes.
func sinceRig(t *testing.T) (owner, replica *Broker, f follower) {
	t.Helper()
	policy := func(string) Policy { return Policy{History: 10, Idempotency: time.Minute, IdempotencyKeys: 100} }
	owner, err := New(Config{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	f.owner = owner
	if replica, err = New(Config{Policy: policy, Cluster: f}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = owner.Close(), replica.Close()
	})
	return owner, replica, f
}

// A replica that is told what it has missed has what its owner has: items, their ends, changes and keys. What it is told is no more than that.
func TestMissedSince(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				owner, replica, f := sinceRig(t)
				r := rand.New(rand.NewPCG(seed, 0))
				change := func(n int) {
					p := Publication{Op: Op(r.IntN(3)), Key: fmt.Sprint(r.IntN(5)), Data: fmt.Append(nil, n)}
					if p.Op == Set && r.IntN(2) == 0 {
						p.TTL = time.Duration(1+r.IntN(5)) * time.Second
					}
					if r.IntN(2) == 0 {
						p.IdempotencyKey = fmt.Sprint("key", n)
					}
					if _, err := owner.Publish("c", &p); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				}
				for n := range 20 {
					change(n)
				}
				if _, err := replica.Join("c", JoinRequest{}, nil); err != nil {
					t.Fatal(err)
				}
				for n, partial := 100, 0; n < 150 || partial == 0; n++ {
					at, _ := replica.At("c")
					for range r.IntN(14) {
						change(n)
						n++
					}
					k := f.missed("c", at)
					if now, _ := owner.At("c"); k.Partial != (now.Seq-at.Seq <= 10) {
						t.Fatalf("partial: %t, from %v to %v", k.Partial, at, now)
					} else if k.Partial {
						partial++
						if uint64(len(k.Changes)) != now.Seq-at.Seq {
							t.Fatalf("%d changes are told from %v to %v", len(k.Changes), at, now)
						}
					}
					if err := replica.Refill("c", &k); err != nil {
						t.Fatal(err)
					}
					have, _ := replica.Export("c")
					want, _ := owner.Export("c")
					if !reflect.DeepEqual(itemsOf(&have), itemsOf(&want)) || have.Position != want.Position || !reflect.DeepEqual(keysOf(&have), keysOf(&want)) {
						t.Fatalf("the replica has\n%v %v %v\nand its owner\n%v %v %v", have.Position, itemsOf(&have), keysOf(&have), want.Position, itemsOf(&want), keysOf(&want))
					}
				}
			})
		})
	}
}

func itemsOf(k *Kept) map[string]string {
	items := make(map[string]string)
	for _, i := range k.Items {
		ends := "never"
		if !i.Ends.IsZero() {
			ends = i.Ends.Sub(k.Read).String()
		}
		items[i.Group+" "+i.Key] = string(i.Data) + " " + ends
	}
	return items
}

func keysOf(k *Kept) map[string]uint64 {
	keys := make(map[string]uint64)
	for _, one := range k.Keys {
		keys[one.Key] = one.Seq
	}
	return keys
}

// Who stands where the log does not reach, or in an epoch that is not known, is told all; what is partial is nothing for who stands elsewhere, and changes
// nothing there.
func TestMissedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner, replica, f := sinceRig(t)
		for n := range 20 {
			if _, err := owner.Publish("c", &Publication{Op: Set, Key: fmt.Sprint(n), Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
		}
		now, _ := owner.At("c")
		for _, at := range []Position{{}, {now.Epoch, 9}, {now.Epoch, 21}, {"another", 15}} {
			if k := f.missed("c", at); k.Partial || len(k.Items) != 20 {
				t.Errorf("who stands at %v is told of %d items, partial: %t", at, len(k.Items), k.Partial)
			}
		}
		if _, err := replica.Join("c", JoinRequest{}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := owner.Publish("c", &Publication{Op: Set, Key: "20", Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if _, err := owner.Publish("c", &Publication{Op: Set, Key: "21", Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		k := f.missed("c", Position{now.Epoch, 21})
		if err := replica.Refill("c", &k); !errors.Is(err, ErrGap) || !k.Partial {
			t.Errorf("what is missing in between: %v", err)
		}
		if have, _ := replica.Export("c"); have.Position != now || len(have.Items) != 20 {
			t.Errorf("the replica has %d items at %v", len(have.Items), have.Position)
		}
	})
}
