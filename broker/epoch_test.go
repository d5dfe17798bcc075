package broker

import (
	"fmt"
	"regexp"
	"testing"
)

func TestEpochSyntax(t *testing.T) {
	syntax := regexp.MustCompile(`^[a-z0-9]{10,40}$`)
	known := make(map[string]bool)
	for range 10 {
		b := open(t, Config{})
		for range 100 {
			epoch := b.newEpoch()
			if !syntax.MatchString(epoch) || known[epoch] {
				t.Fatalf("epoch %q", epoch)
			}
			known[epoch] = true
		}
	}
}

// A quiet channel is freed with its last reader, and who comes back to it has missed nothing.
func TestQuietChannelKeepsEpoch(t *testing.T) {
	b := open(t, Config{})
	c, first := join(t, b, "user:1", JoinRequest{})
	c.Leave()
	if stats := b.Stats(); stats.Channels != 0 {
		t.Fatalf("%+v", stats)
	}
	c, again := join(t, b, "user:1", JoinRequest{From: &first.Position})
	if !again.Recovered || string(again.Changes) != "[]" || again.Position != first.Position {
		t.Errorf("%+v after %+v", again, first)
	}
	c.Leave()
}

// A channel of which something was lost never has the same epoch again.
func TestLostLogChangesEpoch(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{History: -1})})
	known := make(map[string]bool)
	for i := range 100 {
		c, r := join(t, b, "c", JoinRequest{})
		if known[r.Position.Epoch] {
			t.Fatalf("round %d: epoch %s again", i, r.Position.Epoch)
		}
		known[r.Position.Epoch] = true
		at := publish(t, b, "c", Publication{Op: Send})
		c.Leave()
		c, r = join(t, b, "c", JoinRequest{From: &at})
		if r.Recovered || !r.Lost {
			t.Fatalf("round %d: %+v", i, r)
		}
		c.Leave()
	}
}

// Two channels of one slot: the loss of one's log may cost the other its epoch, never the reverse.
func TestEpochSlots(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{History: -1})})
	s, slot := b.locate("quiet")
	busy := ""
	for i := 0; busy == ""; i++ {
		name := fmt.Sprint("busy", i)
		if other, otherSlot := b.locate(name); other == s && otherSlot == slot {
			busy = name
		}
	}
	quiet, first := join(t, b, "quiet", JoinRequest{})
	publish(t, b, busy, Publication{Op: Send}) // comes, loses its log and goes
	if at := publish(t, b, "quiet", Publication{Op: Send}); at.Epoch != first.Position.Epoch {
		t.Error("a live channel changed its epoch")
	}
	quiet.Leave()
	quiet, second := join(t, b, "quiet", JoinRequest{From: &first.Position})
	if second.Recovered || second.Position.Epoch == first.Position.Epoch {
		t.Errorf("%+v after %+v", second, first)
	}
	quiet.Leave()
}

func TestClear(t *testing.T) {
	b := open(t, Config{Subscriber: newRecorder})
	if _, ok := b.Clear("c"); ok {
		t.Error("cleared what is not there")
	}
	var seen reader
	c, err := b.Join("c", JoinRequest{}, func(s Subscriber, _ Reply) { s.(*recorder).add(&seen) })
	if err != nil {
		t.Fatal(err)
	}
	old := publish(t, b, "c", Publication{Op: Set, Key: "k", IdempotencyKey: "i"})
	at, ok := b.Clear("c")
	if !ok || at.Seq != 0 || at.Epoch == old.Epoch {
		t.Errorf("%v %t", at, ok)
	}
	if len(seen.resets) != 1 || seen.resets[0].Position != at || string(seen.resets[0].State) != `{}` || !seen.resets[0].Lost {
		t.Errorf("resets %+v", seen.resets)
	}
	if next := publish(t, b, "c", Publication{Op: Send, IdempotencyKey: "i"}); next != (Position{at.Epoch, 1}) {
		t.Errorf("%v", next)
	}
	c.Leave()

	// Without a reader nothing of the channel is left, but the position that was answered holds.
	at, _ = b.Clear("c")
	if stats := b.Stats(); stats != (Stats{}) {
		t.Errorf("%+v", stats)
	}
	if _, r := join(t, b, "c", JoinRequest{From: &at}); !r.Recovered {
		t.Errorf("%+v after %v", r, at)
	}
}

func TestFreed(t *testing.T) {
	b := open(t, Config{Policy: always(Policy{History: -1})})
	gone := func() bool { return b.Stats() == Stats{} && b.lookup("c") == nil }
	publish(t, b, "c", Publication{Op: Send})
	if !gone() {
		t.Error("after a send that nobody keeps")
	}
	publish(t, b, "c", Publication{Op: Set, Key: "k"})
	if gone() {
		t.Error("with an item")
	}
	c, _ := join(t, b, "c", JoinRequest{})
	publish(t, b, "c", Publication{Op: Delete, Key: "k"})
	if gone() {
		t.Error("with a reader")
	}
	c.Leave()
	if !gone() {
		t.Error("after the reader left")
	}
	publish(t, b, "c", Publication{Op: Delete, Key: "k", IdempotencyKey: "i"})
	if gone() {
		t.Error("with an idempotency key")
	}
}
