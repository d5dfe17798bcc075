package ledger

import (
	"fmt"
	"sync"

	"weir/loadtest/check"
)

// Position is where a message stands in its channel's log, as the relay says.
type Position struct {
	Epoch string
	Seq   uint64
}

// fate is what a publisher knows of one message.
type fate uint8

const (
	unanswered fate = iota // sent, no answer: it may or may not be there
	acked
	refused
)

type entry struct {
	fate fate
	at   Position // of an acknowledged message
}

type source struct{ channel, source uint32 }

// Ledger is what the publishers of a test know: which messages they sent and how each was answered.
// It is safe for concurrent use.
type Ledger struct {
	// Forks says that a log may go on in another epoch from before its end, as that of a channel in memory does whose node is lost: what was
	// acknowledged beyond is gone, and only those who have seen it are told. Set before use.
	Forks bool

	mu sync.Mutex

	// Guarded by mu.
	last    map[source]uint64
	entries map[check.Stamp]entry
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{last: map[source]uint64{}, entries: map[check.Stamp]entry{}}
}

// Next returns the stamp of the next message of a source in a channel and notes it as sent. due is in
// ns since the test's clock started.
func (l *Ledger) Next(channel, from uint32, due int64) check.Stamp {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := source{channel, from}
	l.last[key]++
	s := check.Stamp{Channel: channel, Source: from, Number: l.last[key], Due: due}
	l.entries[s] = entry{}
	return s
}

// Acked notes that the relay accepted s and put it at a position.
func (l *Ledger) Acked(s check.Stamp, at Position) { l.note(s, entry{acked, at}) }

// Refused notes that the relay refused s: nobody may wait for it.
func (l *Ledger) Refused(s check.Stamp) { l.note(s, entry{fate: refused}) }

func (l *Ledger) note(s check.Stamp, e entry) {
	l.mu.Lock()
	l.entries[s] = e
	l.mu.Unlock()
}

// Reader is what one client saw, in order. Its methods are called by one goroutine; resumed
// connections of the same client go on with the same Reader.
type Reader struct {
	Name string // for the verdict's sentences

	log      []sighting
	corrupt  int
	detached map[uint32]bool
}

type kind uint8

const (
	delivered kind = iota
	resumed
	reset
)

type sighting struct {
	kind  kind
	chn   uint32
	at    Position
	stamp check.Stamp
}

// Told notes where the relay said the reader stands: at the first subscribe, after a resume and on a
// resync. recovered means that the relay promised to send everything since the reader's last position;
// otherwise what came before at is known to be missed.
func (r *Reader) Told(channel uint32, at Position, recovered bool) {
	k := reset
	if recovered {
		k = resumed
	}
	r.log = append(r.log, sighting{kind: k, chn: channel, at: at})
}

// Delivered notes a message that arrived at seq of the channel's present epoch.
func (r *Reader) Delivered(channel uint32, seq uint64, payload []byte) {
	s, err := check.Parse(payload)
	if err != nil || s.Channel != channel {
		r.corrupt++
		return
	}
	r.log = append(r.log, sighting{kind: delivered, chn: channel, at: Position{Seq: seq}, stamp: s})
}

// gaveUp notes that the reader gave the channel up: it is not expected to be complete to the end.
func (r *Reader) gaveUp(channel uint32) {
	if r.detached == nil {
		r.detached = map[uint32]bool{}
	}
	r.detached[channel] = true
}

// Verdict is what the judge found over all readers. The zero value is a perfect run.
type Verdict struct {
	Acknowledged int // messages the relay promised to deliver
	Received     int // deliveries seen by all readers
	Lost         int // acknowledged, not received, and the reader was not told
	Told         int // acknowledged, not received, and the reader was told so
	Duplicated   int // the same message twice at one reader
	Reordered    int // a position that did not grow, or a source's number that went back
	Corrupted    int // payloads that are not intact stamps
	Disagreed    int // a position that held different messages for different readers, or than acknowledged

	Problems []string // the first of them, in words
}

// OK reports whether the relay kept its word.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Reordered == 0 && v.Corrupted == 0 && v.Disagreed == 0
}

// String is one line for a test's log.
func (v Verdict) String() string {
	return fmt.Sprintf("acknowledged %d, received %d, lost %d, told %d, duplicated %d, reordered %d, corrupted %d, disagreed %d",
		v.Acknowledged, v.Received, v.Lost, v.Told, v.Duplicated, v.Reordered, v.Corrupted, v.Disagreed)
}
