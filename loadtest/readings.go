package loadtest

import (
	"bytes"
	"hash/maphash"

	"weir/loadtest/check"
)

// readings are messages that checked connections have read lately, with what they carried. A relay sends the same bytes to
// many subscribers of a channel; what has been parsed and verified once need not be again where every byte is the same.
// It is owned by the checked loop.
type readings struct {
	seed  maphash.Seed
	slots [readingSlots]reading
	bytes int // held by the slots
}

// reading is one message, and what it carried for connections that follow the same channels.
type reading struct {
	group    int // of connections that follow the same channels
	text     []byte
	arrivals []arrival
}

// arrival is one delivery that a message carries.
type arrival struct {
	followed int
	seq      uint64
	verdict  verdict
	stamp    check.Stamp // of what is intact
}

// verdict is what is found out about a delivery by itself.
type verdict uint8

const (
	intact  verdict = iota
	other           // a typing sign, an expiry or the like
	damaged         // or of another channel
)

// How much is kept: as many messages as may be under way to different subscribers at a time, a thousand channels', and
// their bytes, give or take one message.
const (
	readingSlots = 2048
	readingBytes = 64 << 20
	readingTail  = 64 // bytes that tell most messages apart: stamps are near the end
)

func newReadings() *readings { return &readings{seed: maphash.MakeSeed()} }

// find returns the message if it was kept, and the slot to keep it in if it was not.
func (r *readings) find(group int, msg []byte) (slot *reading, found bool) {
	tail := maphash.Bytes(r.seed, msg[max(0, len(msg)-readingTail):])
	slot = &r.slots[(tail^uint64(len(msg))*0x9e3779b97f4a7c15^uint64(group))%readingSlots]
	return slot, slot.group == group && len(msg) > 0 && bytes.Equal(slot.text, msg)
}

// keep has a slot hold a message and what it carried.
func (r *readings) keep(slot *reading, group int, msg []byte, list []arrival) {
	if r.bytes > readingBytes {
		clear(r.slots[:])
		r.bytes = 0
	}
	r.bytes -= cap(slot.text)
	slot.group, slot.text, slot.arrivals = group, append(slot.text[:0], msg...), append(slot.arrivals[:0], list...)
	r.bytes += cap(slot.text)
}
