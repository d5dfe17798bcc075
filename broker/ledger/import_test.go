package ledger_test

import (
	"errors"
	"testing"
	"time"

	"weir/broker"
	"weir/broker/ledger"
	"weir/internal/mesh/fake"
)

// What another store had is there in another epoch, also for who takes the partition over, and is put in once. Readers go on from where they stand, and who has seen more is told.
func TestImport(t *testing.T) {
	m, places := &fake.Mesh{}, &table{}
	a, b := start(t, m, 0), start(t, m, 1)
	a.take(places, 0)
	at := broker.Position{Epoch: "elsewhere", Seq: 7}
	kept := broker.Kept{Position: at, Changes: []broker.KeptChange{
		{Op: broker.Set, Group: "default", Key: "six", Data: []byte(`"6"`), At: time.Now()}, {Op: broker.Set, Group: "default", Key: "seven", Data: []byte(`"7"`), At: time.Now()},
	}, Items: []broker.KeptItem{{Group: "default", Key: "seven", Data: []byte(`"7"`)}}}
	put := func(p *process) error {
		return p.b.Exclude("room:0", func(fresh string) error { return p.l.Import("room:0", &kept, fresh) })
	}
	if err := put(a); err != nil {
		t.Fatal(err)
	}
	if err := put(a); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("once more: %v", err)
	}
	if err := put(b); !errors.Is(err, ledger.ErrNotTaken) {
		t.Errorf("by another process: %v", err)
	}
	for i, p := range []*process{a, b} {
		if i == 1 {
			b.take(places, 0)
		}
		join := func(from broker.Position) (r broker.Reply) {
			c, err := p.b.Join("room:0", broker.JoinRequest{From: &from}, func(_ broker.Subscriber, got broker.Reply) { r = got })
			if err != nil {
				t.Fatal(err)
			}
			c.Leave()
			return r
		}
		if r := join(broker.Position{Epoch: "elsewhere", Seq: 6}); !r.Recovered || r.Position.Seq != uint64(7+i) || r.Position.Epoch == at.Epoch {
			t.Errorf("%d: a reader is told %+v", i, r)
		}
		if r := join(broker.Position{Epoch: "elsewhere", Seq: 8}); !r.Lost {
			t.Errorf("%d: a reader that has seen more is told %+v", i, r)
		}
		p.publish("room:0", []string{"eight", "nine"}[i])
	}
	want(t, "it has", b.has("room:0"), "[six seven eight nine]")
	if err := put(b); !errors.Is(err, broker.ErrUsed) {
		t.Errorf("into what is in memory: %v", err)
	}
}
