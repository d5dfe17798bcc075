package hub

import (
	"weir/broker"
	"weir/internal/wire"
)

// EventEncoder appends what a change is told as on the event streams of a system: see EventStream.Event.
type EventEncoder func(dst []byte, c *broker.ChangeView) (event []byte, id string)

// Append appends the events of changes, which are a JSON array or stand in one.
func (e EventEncoder) Append(dst []byte, channel, epoch string, changes []byte) []byte {
	broker.EachChange(changes, func(c *broker.ChangeView) bool {
		before := len(dst)
		b, id := e(dst, c)
		if len(b) == before {
			return true
		}
		if id == "" {
			dst = AppendMark(b, channel, broker.Position{Epoch: epoch, Seq: c.Seq})
			return true
		}
		dst = append(append(b, "id: "...), id...)
		dst = append(dst, '\n', '\n')
		return true
	})
	return dst
}

// AppendMark ends an event with the cursor of its channel.
func AppendMark(dst []byte, channel string, at broker.Position) []byte {
	cursor, _ := wire.AppendCursor(nil, nil, []wire.Mark{{Channel: wire.ChannelHash(channel), Epoch: at.Epoch, Seq: at.Seq}})
	return wire.AppendEventID(dst, cursor)
}

// MarkOf is the position in a channel that an id stands for, if it is a cursor of that channel.
func MarkOf(channel, id string) (broker.Position, bool) {
	marks, err := wire.ParseCursor([]byte(id))
	if err != nil || len(marks) != 1 || marks[0].Channel != wire.ChannelHash(channel) {
		return broker.Position{}, false
	}
	return broker.Position{Epoch: marks[0].Epoch, Seq: marks[0].Seq}, true
}

// EventCursor reports whether an id could be mistaken for a cursor of the channel's event streams.
func EventCursor(channel, id string) bool {
	_, ok := MarkOf(channel, id)
	return ok
}
