package chat

import (
	"errors"
	"log/slog"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
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

// appendMembers appends the member "members". Where an event would become larger than events may be, it says
// how many there are instead. The caller holds mu.
func (s *System) appendMembers(b []byte, r *room) []byte {
	if r.listed == nil {
		r.listed = encode(r.ids())
	}
	if len(b)+len(r.listed)+len(`,"members":}`) > s.event {
		return append(append(b, `,"memberCount":`...), encode(len(r.order))...)
	}
	return append(append(b, `,"members":`...), r.listed...)
}

// about begins the data of an event about a message.
func about(room, message, user string) []byte {
	b := wire.AppendString(append(make([]byte, 0, 256), `{"roomId":`...), room)
	b = wire.AppendString(append(b, `,"messageId":`...), message)
	return wire.AppendString(append(b, `,"userId":`...), user)
}

// live sends something to the client that follows the room. The caller holds the room's mu.
func (s *System) live(room, group, key string, data []byte) error {
	_, err := s.core.Submit(liveChannel(room), &broker.Publication{Op: broker.Send, Group: group, Key: key, Data: data, Ack: broker.AckMemory})
	return err
}

// tell sends something about a room to a user, on their own channel. It is no reason to fail.
func (s *System) tell(user, room string, data []byte) {
	_, err := s.core.Submit(wire.UserChannel(user), &broker.Publication{Op: broker.Send, Group: groupRooms, Key: room, Data: data, Ack: broker.AckMemory})
	if err != nil {
		s.core.Log().Warn("user not told of a room", slog.String("error", err.Error()))
	}
}

// settle waits until a change is safe, and tells its events in turn. Those of a change that is not safe are
// not told.
func (s *System) settle(r *room, c *change) error {
	defer close(c.settled)
	var err error
	for _, t := range c.waits {
		if t.Wait != nil {
			_, failed := t.Wait()
			err = errors.Join(err, failed)
		}
	}
	if c.before != nil {
		<-c.before
	}
	if err != nil {
		return err
	}
	for _, e := range c.events {
		// What has happened is not undone because a backend cannot be told.
		if failed := s.core.Emit(&relay.Event{Topic: e.topic, Key: liveChannel(r.id), Data: e.data, User: e.user}); failed != nil {
			s.core.Log().Warn("event not told", slog.String("topic", e.topic), slog.String("error", failed.Error()))
		}
	}
	return nil
}
