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
	if err := handover.Pieces(h, list, func(body []byte) error {
		pieces = append(pieces, body)
		return nil
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
		if ok, err := i.Take(piece, 4, now); ok != want || err != nil {
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
	if ok, err := whole.Take(pieces[0], 3, now); ok || err == nil {
		t.Error("there is no such partition, and it was taken")
	}
	if _, err := whole.Take(pieces[0][:100], 4, now); err == nil {
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
		if ok, err := i.Take(piece, 1, time.Now()); !ok || err != nil {
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
