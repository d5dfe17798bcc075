package hub

import (
	"bytes"
	"errors"
	"sync/atomic"

	"weir/batch"
	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
)

// Dialect is how channels look to clients of another protocol: what a change becomes. Its subscribers are served as all
// others are, through the same windows, and what a window holds is encoded once for all of them: messages are WebSocket
// frames of their own, which leave in one write. It is registered at start, with Hub.AddDialect, and belongs to the clients
// of a route; see route.WebSocket.
type Dialect struct {
	// Name is for the log.
	Name string

	// Change appends the message that a change is told as, text on which its clients agree; nothing if it is not told.
	// It runs on the loop of a shard, so that it must be quick, and takes no lock that is held while publishing. c is
	// valid during the call.
	Change func(dst []byte, channel string, c *broker.ChangeView) []byte

	// Lost appends the message that says that the log was lost and what the items are now: {"group":{"key":data}}. As
	// Change. nil: that is not told.
	Lost func(dst []byte, channel string, state []byte) []byte

	enc pool.Encoding // of its clients without compression; set by AddDialect

	// Atomic.
	encodes atomic.Uint64 // windows encoded
}

// maxDialects is how many dialects there may be: each has two encodings.
const maxDialects = (pool.Encodings - int(firstDialect)) / 2

// AddDialect registers a dialect. At start. Errors: there are too many.
func (h *Hub) AddDialect(d *Dialect) error {
	if len(h.dialects) == maxDialects {
		return errors.New("too many dialects")
	}
	d.enc = firstDialect + 2*pool.Encoding(len(h.dialects))
	h.dialects = append(h.dialects, d)
	return nil
}

// endOfDialects is behind the last encoding of a dialect.
func (h *Hub) endOfDialects() pool.Encoding { return firstDialect + 2*pool.Encoding(len(h.dialects)) }

// dialectOf is the dialect of an encoding; nil if it is of none.
func (h *Hub) dialectOf(enc pool.Encoding) *Dialect {
	if enc < firstDialect {
		return nil
	}
	return h.dialects[(enc-firstDialect)/2]
}

// Encoding is that of the dialect's clients.
func (d *Dialect) Encoding(deflate bool) pool.Encoding {
	if deflate {
		return d.enc + 1
	}
	return d.enc
}

// Encodes is how many windows of channels have been encoded: one for each window, however many the takers.
func (d *Dialect) Encodes() uint64 { return d.encodes.Load() }

// AppendText appends a text message as the frame of an encoding; nothing if it is empty.
func AppendText(dst []byte, enc pool.Encoding, payload []byte) []byte {
	switch {
	case len(payload) == 0:
		return dst
	case Deflates(enc) && len(payload) >= CompressFrom:
		return append(dst, compressedFrame(payload)...)
	}
	return append(wire.AppendHeader(dst, wire.OpText, false, len(payload)), payload...)
}

// lost is the frame that says that the log was lost, from the message of the native protocol.
func (d *Dialect) lost(enc pool.Encoding, channel string, resync []byte) []byte {
	_, state, _ := bytes.Cut(resync, []byte(`,"state":`))
	state, ok := bytes.CutSuffix(state, []byte(`,"lost":true}`))
	if d.Lost == nil || !ok {
		return nil
	}
	return AppendText(nil, enc, d.Lost(nil, channel, state))
}

// told is a batch as the frames of a dialect.
type told struct {
	enc   pool.Encoding
	bytes []byte
	ends  []int // where the frame of each message of the batch ends
}

// tell encodes a batch in a dialect, unless that is done.
func (f *Fanout) tell(enc pool.Encoding, b *batch.Batch) *told {
	for i := range f.told {
		if f.told[i].enc == enc {
			return &f.told[i]
		}
	}
	d := f.hub.dialectOf(enc)
	d.encodes.Add(1)
	t := told{enc: enc, bytes: make([]byte, 0, len(b.Body)+b.Count*(len(f.Name)+32)), ends: make([]int, 0, b.Count)}
	var scratch []byte
	b.Each(func(e batch.Entry) {
		c := broker.ViewOf(f.change(e.Bytes))
		c.Created = e.Created
		scratch = d.Change(scratch[:0], f.Name, &c)
		t.bytes = AppendText(t.bytes, enc, scratch)
		t.ends = append(t.ends, len(t.bytes))
	})
	f.told = append(f.told, t)
	return &f.told[len(f.told)-1]
}

// change is the encoded change in a message of the window.
func (f *Fanout) change(message []byte) []byte {
	if rest, ok := bytes.CutPrefix(message, []byte(`{"type":"update",`)); f.own && ok { // see Apply
		return append([]byte{'{'}, rest...)
	}
	return message
}

// of is the frames of a cut, whose count it sets.
func (t *told) of(b *batch.Batch, c *cut) []byte {
	if c.groups == nil && c.key == "" && c.receiver == "" {
		c.count = len(t.ends)
		return t.bytes
	}
	out := make([]byte, 0, len(t.bytes))
	i, from := 0, 0
	c.count = 0
	b.Each(func(e batch.Entry) {
		if c.has(&e) {
			out = append(out, t.bytes[from:t.ends[i]]...)
			c.count++
		}
		from = t.ends[i]
		i++
	})
	return out
}

// forgetTold drops what was encoded of a batch.
func (f *Fanout) forgetTold() {
	if f.told != nil {
		clear(f.told)
		f.told = f.told[:0]
	}
}
