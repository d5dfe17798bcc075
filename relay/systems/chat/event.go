package chat

import (
	"log/slog"

	"weir/broker"
	"weir/internal/wire"
)

// The topics.
const (
	topicRoomCreated     = "chat.room.created"
	topicRoomDeleted     = "chat.room.deleted"
	topicMemberAdded     = "chat.member.added"
	topicMemberRemoved   = "chat.member.removed"
	topicMessageSent     = "chat.message.sent"
	topicMessageEdited   = "chat.message.edited"
	topicMessageDeleted  = "chat.message.deleted"
	topicReactionAdded   = "chat.reaction.added"
	topicReactionRemoved = "chat.reaction.removed"
	topicTypingStart     = "chat.typing.start"
	topicTypingStop      = "chat.typing.stop"
)

// appendMembers appends the member "members". Where an event would become larger than events may be, it has
// their number instead. The caller holds mu.
func (s *System) appendMembers(b []byte, r *room) []byte {
	if r.listed == nil {
		r.listed = encode(r.ids())
	}
	if len(b)+len(r.listed)+len(`,"members":}`) > s.event {
		return append(append(b, `,"memberCount":`...), encode(len(r.order))...)
	}
	return append(append(b, `,"members":`...), r.listed...)
}

// fields appends members whose values are strings to a JSON object that is not closed: a key, its value, and so on.
func fields(b []byte, pairs ...string) []byte {
	for ; len(pairs) > 1; pairs = pairs[2:] {
		if len(b) == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), pairs[0]...), '"', ':')
		b = wire.AppendString(b, pairs[1])
	}
	return b
}

// object is a JSON object of strings.
func object(pairs ...string) []byte { return append(fields(make([]byte, 0, 128), pairs...), '}') }

// aboutMessage is the data of an event about a message.
func (s *System) aboutMessage(r *room, message, user string) []byte {
	b := fields(make([]byte, 0, 256), "roomId", r.id, "messageId", message, "userId", user)
	return append(s.appendMembers(b, r), '}')
}

// sendToRoom sends a message to the followers of a room. The caller holds the room's mu.
func (s *System) sendToRoom(room, group, key string, data []byte) error {
	_, err := s.core.Submit(liveChannel(room), &broker.Publication{Op: broker.Send, Group: group, Key: key, Data: data, Ack: broker.AckMemory})
	return err
}

// sendToUser sends a message about a room to a user, on their own channel. It is no reason to fail.
func (s *System) sendToUser(user, room string, data []byte) {
	_, err := s.core.Submit(wire.UserChannel(user), &broker.Publication{Op: broker.Send, Group: groupRooms, Key: room, Data: data, Ack: broker.AckMemory})
	if err != nil {
		s.core.Log().Warn("message about a room was not sent to its user", slog.String("error", err.Error()))
	}
}
