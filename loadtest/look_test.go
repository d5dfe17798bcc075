package loadtest

import (
	"bytes"
	"fmt"
	"testing"

	"weir/loadtest/check"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// checkedConns returns connections that are checked and follow one channel, in a trial of two publishers.
func checkedConns(tb testing.TB, n int) []*conn {
	tb.Helper()
	e := &engine{names: []string{"bench:0"}, readings: newReadings(), fleet: &fleet{}, publishers: &publishers{}, churn: &churn{}}
	var err error
	if e.plan, err = scenario.New(scenario.Scenario{Subscribers: n, Rate: 10, Publishers: 2}); err != nil {
		tb.Fatal(err)
	}
	if e.target, _, _, err = target.New(target.Options{Name: "weir"}); err != nil {
		tb.Fatal(err)
	}
	t := newTrial(e, e.plan, 1)
	conns := make([]*conn, n)
	for i := range conns {
		c := &conn{e: e, role: record.Checked, phase: listening}
		c.sub.Channels = []target.Followed{{Name: e.names[0], Known: true}}
		c.begin(t)
		conns[i] = c
	}
	return conns
}

// batchOf is a frame's message of n deliveries of one publisher, from a number on.
func batchOf(from, n int) []byte {
	b := []byte(`{"type":"batch","channel":"bench:0","messages":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"seq":%d,"op":"send","data":`, from+i)
		b = check.Stamp{Source: 2, Number: uint64(from + i), Due: 5}.Append(b, 128)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// What is known of a message from another connection counts as if the message had been read by this one: what is new, what
// is repeated, what is damaged, and where it stands. Nothing is taken from a message that differs in one byte.
func TestAMessageReadBeforeCountsLikeAnyOther(t *testing.T) {
	first, second := batchOf(1, 3), batchOf(4, 2)
	damagedText := bytes.Replace(batchOf(6, 2), []byte(`"n":7`), []byte(`"n":8`), 1)
	conns := checkedConns(t, 3)
	for _, c := range conns[:2] {
		for _, msg := range [][]byte{first, second, first, damagedText} {
			if err := c.message(msg); err != nil {
				t.Fatal(err)
			}
		}
		if k := c.look; k.received != 6 || k.duplicated != 3 || k.corrupted != 1 || k.reordered != 0 || c.sub.Channels[0].Seq != 7 {
			t.Errorf("received %d, duplicated %d, damaged %d, reordered %d, at %d", k.received, k.duplicated, k.corrupted, k.reordered, c.sub.Channels[0].Seq)
		}
	}
	for i := range first { // the rest of a stamp is under its CRC; the frame around it is the parser's
		msg := bytes.Clone(first)
		msg[i] ^= 1
		if _, found := conns[2].e.readings.find(0, msg); found {
			t.Fatalf("a message with another byte %d was taken for one that is known", i)
		}
	}
	if _, found := conns[2].e.readings.find(1, first); found {
		t.Error("a message was taken for one of other channels")
	}
}

// What is kept of messages stays within its bound.
func TestReadingsAreBounded(t *testing.T) {
	r := newReadings()
	big := make([]byte, 1<<20)
	for i := range 300 {
		copy(big[len(big)-8:], fmt.Sprintf("%08d", i))
		slot, _ := r.find(0, big)
		r.keep(slot, 0, big, nil)
		held := 0
		for i := range r.slots {
			held += cap(r.slots[i].text)
		}
		if held > readingBytes+len(big) {
			t.Fatalf("%d bytes are kept", held)
		}
	}
}

func BenchmarkCheckedMessage(b *testing.B) {
	for _, readers := range []int{1, 250} {
		b.Run(fmt.Sprintf("readers=%d/batch=100", readers), func(b *testing.B) {
			conns := checkedConns(b, readers)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				b.StopTimer()
				msg := batchOf(n*100+1, 100)
				n++
				b.StartTimer()
				for _, c := range conns {
					if err := c.message(msg); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(readers)/100, "ns/delivery")
		})
	}
}
