package handover_test

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"weir/broker"
	"weir/relay/cluster/handover"
)

// many are channels that take more than a piece.
func many() (list []handover.Channel) {
	for i := range 3000 {
		list = append(list, handover.Channel{Name: fmt.Sprint("room:", i), Kept: broker.Kept{Position: broker.Position{Epoch: "e", Seq: uint64(i)},
			Changes: []broker.KeptChange{{Op: broker.Send, Data: make([]byte, 200)}}}})
	}
	return list
}

func cut(t *testing.T, h handover.Head, list []handover.Channel) (pieces [][]byte) {
	t.Helper()
	if err := handover.Pieces(h, list, func(body []byte) ([]byte, error) {
		pieces = append(pieces, body)
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	return pieces
}

// What is handed over in pieces is what comes of it, once; of what has a gap, or is another owner's, nothing comes.
func TestPieces(t *testing.T) {
	head, now := handover.Head{From: "a", Partition: 3, Term: 7}, time.Now()
	list := many()
	pieces := cut(t, head, list)
	if len(pieces) < 3 {
		t.Fatalf("%d pieces: the test says nothing", len(pieces))
	}
	take := func(i *handover.Inbox, piece []byte, want bool) {
		t.Helper()
		if _, ok, err := i.Take(piece, 4, now, nil); ok != want || err != nil {
			t.Errorf("taken: %t (%v)", ok, err)
		}
	}
	var whole, gap, other, unclaimed handover.Inbox
	for n, piece := range pieces {
		take(&whole, piece, true)
		take(&other, piece, true)
		take(&unclaimed, piece, true)
		if n != 1 {
			take(&gap, piece, n == 0)
		}
	}
	got, ok := whole.Claim(head)
	if !ok || len(got) != len(list) {
		t.Fatalf("%d of %d channels have come", len(got), len(list))
	}
	for i := range got {
		if got[i].Name != list[i].Name || got[i].Kept.Position != list[i].Kept.Position || !reflect.DeepEqual(got[i].Kept.Changes[0].Data, list[i].Kept.Changes[0].Data) {
			t.Fatalf("channel %d has come as %v", i, got[i])
		}
	}
	if _, ok := whole.Claim(head); ok {
		t.Error("it was claimed twice")
	}
	if _, ok := gap.Claim(head); ok {
		t.Error("what has a gap was claimed")
	}
	if _, ok := other.Claim(handover.Head{From: "b", Partition: 3, Term: 7}); ok {
		t.Error("another owner's was claimed")
	}
	unclaimed.Tidy(now.Add(time.Minute))
	if _, ok := unclaimed.Claim(head); ok {
		t.Error("what nobody wanted is still there")
	}
	if _, ok, err := whole.Take(pieces[0], 3, now, nil); ok || err == nil {
		t.Error("there is no such partition, and it was taken")
	}
	if _, _, err := whole.Take(pieces[0][:100], 4, now, nil); err == nil {
		t.Error("a part of a piece was taken")
	}
	if pieces := cut(t, head, nil); len(pieces) != 1 {
		t.Errorf("%d pieces of nothing: its next owner is to know that there is nothing", len(pieces))
	}
}

// A piece is copied about once, however many channels it has: a partition pauses while that is done.
func TestPiecesAreCopiedOnce(t *testing.T) {
	pieces := cut(t, handover.Head{From: "a"}, many())
	var i handover.Inbox
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, piece := range pieces {
		if _, ok, err := i.Take(piece, 1, time.Now(), nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	runtime.ReadMemStats(&after)
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	if took := int(after.TotalAlloc - before.TotalAlloc); took > 10*size {
		t.Errorf("%d bytes in %d pieces took %d bytes", size, len(pieces), took)
	}
}

// What the next owner follows is not sent again, unless it turns out to stand elsewhere, or not to be there. Keys are: some are of what changed nothing.
func TestHeld(t *testing.T) {
	head, list := handover.Head{From: "a", Partition: 3, Term: 7}, many()
	size := 0
	for i := range list {
		list[i].Held = i%2 == 0
		list[i].Kept.Read = time.Now()
		list[i].Kept.Keys = []broker.KeptKey{{Key: "key", Seq: uint64(i), At: time.Now()}}
	}
	there := func(channel string) (broker.Kept, error) {
		var i uint64
		if _, err := fmt.Sscanf(channel, "room:%d", &i); err != nil || i%6 == 0 {
			return broker.Kept{}, broker.ErrNoChannel
		}
		if i%10 == 0 {
			return broker.Kept{Position: broker.Position{Epoch: "e", Seq: i - 1}}, nil
		}
		return broker.Kept{Position: broker.Position{Epoch: "e", Seq: i}, Changes: []broker.KeptChange{{Op: broker.Send, Data: []byte("there")}}}, nil
	}
	var inbox handover.Inbox
	if err := handover.Pieces(head, list, func(body []byte) ([]byte, error) {
		size += len(body)
		missing, ok, err := inbox.Take(body, 4, time.Now(), there)
		if !ok {
			t.Error("a piece was not taken")
		}
		return missing, err
	}); err != nil {
		t.Fatal(err)
	}
	got, ok := inbox.Claim(head)
	if !ok || len(got) != len(list) {
		t.Fatalf("%d of %d channels have come, all: %t", len(got), len(list), ok)
	}
	for _, one := range got {
		i := int(one.Kept.Position.Seq)
		data := string(one.Kept.Changes[0].Data)
		if held := i%2 == 0 && i%6 != 0 && i%10 != 0; one.Name != fmt.Sprint("room:", i) || held != (data == "there") || len(one.Kept.Keys) != 1 || one.Kept.Keys[0].Seq != uint64(i) {
			t.Errorf("%s at %v has %.10q and the keys %v", one.Name, one.Kept.Position, data, one.Kept.Keys)
		}
	}
	pieces := 0
	here := func(string) (broker.Kept, error) { return broker.Kept{Position: list[2].Kept.Position}, nil }
	if err := handover.Pieces(head, list[2:3], func(body []byte) (missing []byte, err error) {
		pieces++
		missing, _, err = inbox.Take(body, 4, time.Now(), here)
		return missing, err
	}); err != nil {
		t.Fatal(err)
	}
	if got, ok := inbox.Claim(head); !ok || len(got) != 1 || pieces != 1 {
		t.Errorf("%d channels have come in %d pieces, all: %t", len(got), pieces, ok)
	}
	whole := 0
	for i := range list {
		list[i].Held = false
	}
	for _, piece := range cut(t, head, list) {
		whole += len(piece)
	}
	if size > whole*9/10 {
		t.Errorf("%d bytes were sent, where %d are of all channels", size, whole)
	}
}
