package ledger

import (
	"weir/broker"
	"weir/broker/record"
)

// batch is the records that become one frame.
type batch struct {
	number   uint64
	frame    []byte            // room for the envelope, header and records
	deferred []broker.Deferred // to be applied when it is safe
	promise  *broker.Promise   // what its publishers wait for; guarded by Ledger.mu
}

// dirtyChannel is what of a channel is not safe yet.
type dirtyChannel struct {
	number    uint64 // the last batch with it
	forgotten bool   // its last record drops it
}

// open appends a record of a channel to the batch that is open, and wakes the committer. forgotten: it drops the channel. Called with mu held.
func (l *Ledger) open(channel string, forgotten bool, f func(b []byte) []byte) *batch {
	var b *batch
	if n := len(l.pending); n > 0 && len(l.pending[n-1].frame) < frameSize {
		b = l.pending[n-1]
	} else {
		l.number++
		b = &batch{number: l.number, frame: make([]byte, envelopeSize+record.FrameHeader, 4<<10), promise: broker.NewPromise()}
		l.pending = append(l.pending, b)
	}
	before := len(b.frame)
	b.frame = f(b.frame)
	if limit := l.writer.log.Limit(); len(b.frame) > limit && before > envelopeSize+record.FrameHeader { // it goes into a batch of its own
		one := b.frame[before:]
		b.frame = b.frame[:before]
		l.number++
		b = &batch{number: l.number, frame: append(make([]byte, envelopeSize+record.FrameHeader, len(one)+4<<10), one...), promise: broker.NewPromise()}
		l.pending = append(l.pending, b)
		before = envelopeSize + record.FrameHeader
	}
	l.waiting += len(b.frame) - before
	l.dirty[channel] = dirtyChannel{b.number, forgotten}
	wake(l.wake)
	return b
}

// abandon fails all that waits, and forgets it. Called with mu held.
func (l *Ledger) abandon(err error) {
	if l.flight != nil {
		l.flight.promise.Settle(err)
	}
	for _, b := range l.pending {
		b.promise.Settle(err)
	}
	l.flight, l.pending, l.waiting = nil, nil, 0
	clear(l.dirty)
}
