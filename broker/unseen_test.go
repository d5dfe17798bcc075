package broker

import "testing"

// resets is a subscriber that notes what it is reset to.
type resets struct{ list []Reply }

func (*resets) Apply(*Change)   {}
func (r *resets) Reset(x Reply) { r.list = append(r.list, x) }

// Who has seen nothing of a channel that is kept has lost nothing when it goes on in another epoch: had anything been acknowledged before, the epoch would have been
// kept with it. Of a channel in memory nobody knows.
func TestNothingSeen(t *testing.T) {
	for _, test := range []struct {
		name    string
		durable bool
		seq     uint64 // that the reader has seen
		lost    bool
	}{{"kept", true, 0, false}, {"in memory", false, 0, true}, {"kept, and seen", true, 1, true}} {
		t.Run(test.name, func(t *testing.T) {
			policy := always(Policy{Durable: test.durable, History: 10})
			owner := open(t, Config{Policy: always(Policy{History: 10})})
			for range test.seq {
				if _, err := owner.Publish("c", &Publication{Op: Send, Data: []byte("1")}); err != nil {
					t.Fatal(err)
				}
			}
			r := &resets{}
			replica := open(t, Config{Policy: policy, Cluster: follower{owner}, Store: &keeper{}, Subscriber: func(*Channel) Subscriber { return r }})
			var at Position
			c, err := replica.Join("c", JoinRequest{}, func(_ Subscriber, x Reply) { at = x.Position })
			if err != nil || at.Seq != test.seq {
				t.Fatal(at, err)
			}
			defer c.Leave()
			next := Kept{Position: Position{"next", 2}, Changes: []KeptChange{{Op: Send, Data: []byte("1")}, {Op: Send, Data: []byte("2")}}}
			if err := replica.Refill("c", &next); err != nil {
				t.Fatal(err)
			}
			if len(r.list) != 1 || r.list[0].Lost != test.lost || r.list[0].Forked == test.lost {
				t.Errorf("its reader is told %+v", r.list)
			}
			again, err := replica.Join("c", JoinRequest{From: &at}, func(_ Subscriber, x Reply) {
				if x.Lost != test.lost || x.Recovered == test.lost || !test.lost && string(x.Changes) == "[]" {
					t.Errorf("who comes back to %v is told %+v, %s", at, x, x.Changes)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			again.Leave()
		})
	}
}
