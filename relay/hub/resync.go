package hub

import (
	"strconv"
	"strings"

	"weir/batch"
	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
)

// Reset implements broker.Subscriber: the log was lost. What the readers are told takes the same path as the
// changes before and after it.
func (f *Fanout) Reset(r broker.Reply) {
	if !f.begun {
		return
	}
	mark := ""
	if r.Forked {
		mark = forkedMark // what comes before is not in the short form, and goes its way
	} else {
		f.Window.Clear()
	}
	f.Window.Append(batch.Message{Bytes: ResyncMessage(f.Name, r), Seq: f.Ordinal.Add(1), Exclusive: true,
		Group: r.Position.Epoch + " " + strconv.FormatUint(r.Position.Seq, 10) + mark})
	f.Window.Expedite()
}

// forkedMark marks the message of a log that goes on in another epoch, with nothing lost.
const forkedMark = " forked"

// forkMessage is ResyncMessage for a log that goes on in another epoch, with nothing lost, for clients that have said that they know of it.
func forkMessage(channel string, at broker.Position) []byte {
	b := append([]byte(`{"type":"resync","channel":"`), channel...)
	b = wire.AppendPosition(append(b, `","position":`...), at.Epoch, at.Seq)
	return append(b, `,"recovered":true,"changes":[],"lost":false}`...)
}

// ResyncMessage is the message that brings a reader the present state of a channel.
func ResyncMessage(channel string, r broker.Reply) []byte {
	b := append([]byte(`{"type":"resync","channel":"`), channel...)
	b = append(b, `","position":`...)
	b = wire.AppendPosition(b, r.Position.Epoch, r.Position.Seq)
	b = append(b, `,"state":`...)
	b = append(b, r.State...)
	return append(strconv.AppendBool(append(b, `,"lost":`...), r.Lost), '}')
}

// flushReset tells every subscriber that the log was lost. The batch is the message of Reset.
func (f *Fanout) flushReset(b *batch.Batch) {
	var seq uint64
	forked := false
	b.Each(func(e batch.Entry) {
		e.Group, forked = strings.CutSuffix(e.Group, forkedMark)
		epoch, at, _ := strings.Cut(e.Group, " ") // as Reset has put it
		f.epoch = epoch
		seq, _ = strconv.ParseUint(at, 10, 64)
	})
	f.base = b.Last - seq // where the log goes on; below zero it wraps around, and back where it is taken away
	topics := []*pool.Topic{f.Topic}
	if p := f.filtered.Load(); p != nil {
		for _, s := range *p {
			topics = append(topics, s.topic)
		}
	}
	for _, t := range topics {
		// Answers that were made before the log was lost come before what tells of that. They wait for changes
		// that Reset has dropped.
		t.Deliver(&pool.Frame{Last: b.Last - 1})
		frame := &pool.Frame{Last: b.Last, Count: 1, Position: pool.Position{Epoch: f.epoch, Seq: seq}}
		if forked {
			frame.Alternate, frame.Feature = &pool.Frame{Count: 1}, pool.Forks
			brief := forkMessage(f.Name, broker.Position{Epoch: f.epoch, Seq: seq})
			for _, enc := range []pool.Encoding{WS, DeflateWS, WholeWS, WholeDeflateWS} {
				frame.Alternate.Put(enc, EncodePayload(enc, "resync", brief))
			}
		}
		for enc := firstDialect; enc < f.hub.endOfDialects(); enc++ {
			if t.Takers(enc) > 0 {
				frame.Put(enc, f.hub.dialectOf(enc).lost(enc, f.Name, b.Body))
			}
		}
		for enc := range firstDialect {
			if t.Takers(enc) == 0 {
				continue
			}
			p := EncodePayload(enc, "resync", b.Body)
			if enc == CustomSSE || enc == ChunkedSSE {
				if forked {
					p = nil // where they go on from is all that they need
				}
				p = AppendMark(p, f.Name, broker.Position{Epoch: f.epoch, Seq: seq})
			}
			if enc == ChunkedSSE {
				p = Chunk(p)
			}
			frame.Put(enc, p)
		}
		t.Deliver(frame) // not to those who joined after the log was lost: they stand beyond it
	}
}
