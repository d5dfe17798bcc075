package chat

import (
	"errors"
	"log/slog"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/cluster"
	"weir/relay/hub"
	"weir/relay/systems/internal/encode"
)

// change is what a request does to a room: what follows when the room's lock has been let go.
type change struct {
	receipts []broker.Receipt
	events   []event
	then     func()        // called without the lock, before anything is waited for; nil: nothing
	before   chan struct{} // closed when the events of earlier changes have been emitted; nil if there are none
	emitted  chan struct{} // closed when the events of this one have been emitted, or will not be
}

// event is one for backends.
type event struct {
	topic, user string
	data        []byte
}

// wait makes the change wait for a receipt. It returns the error of what has the receipt.
func (c *change) wait(t broker.Receipt, err error) error {
	if err == nil {
		c.receipts = append(c.receipts, t)
	}
	return err
}

// emit adds an event.
func (c *change) emit(topic, user string, data []byte) {
	c.events = append(c.events, event{topic, user, data})
}

// change calls f with the room's lock. Without the lock it waits then until what f has written is stored, and emits the
// events in the order of the changes. Those of a change that is not stored are not emitted.
func (s *System) change(r *room, f func(c *change) error) error {
	s.touch(stateChannel(r.id)) // which every change writes
	c := change{emitted: make(chan struct{})}
	if err := r.apply(&c, f); err != nil {
		return err
	}
	defer close(c.emitted)
	if c.then != nil {
		c.then()
	}
	var err error
	for _, t := range c.receipts {
		_, failed := t.Settle()
		err = errors.Join(err, failed)
	}
	if c.before != nil {
		<-c.before
	}
	if err != nil {
		if !s.host.Alone() { // it may not be stored, and another node may own the room
			s.rooms.drop(func(id string) bool { return id == r.id })
		}
		return err
	}
	for _, e := range c.events {
		// What has happened is not undone because a backend does not get the event.
		if failed := s.host.Emit(&hub.Event{Topic: e.topic, Key: liveChannel(r.id), Data: e.data, User: e.user}); failed != nil {
			s.host.Log().Warn("event was not emitted", slog.String("topic", e.topic), slog.String("error", failed.Error()))
		}
	}
	return nil
}

// apply calls f with the lock, and gives the change its place among the others.
func (r *room) apply(c *change, f func(c *change) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost.Load() {
		return cluster.ErrNotOwner
	}
	if err := f(c); err != nil {
		return err
	}
	c.before, r.emitted = r.emitted, c.emitted
	return nil
}

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
		r.listed = marshal(r.ids())
	}
	if len(b)+len(r.listed)+len(`,"members":}`) > s.event {
		return encode.Members(b, "memberCount", len(r.order))
	}
	return encode.Members(b, "members", r.listed)
}

// aboutMessage is the data of an event about a message.
func (s *System) aboutMessage(r *room, message, user string) []byte {
	b := encode.Members(make([]byte, 0, 256), "roomId", r.id, "messageId", message, "userId", user)
	return append(s.appendMembers(b, r), '}')
}

// sendToRoom sends a message to the followers of a room. The caller holds the room's mu.
func (s *System) sendToRoom(room, group, key string, data []byte) error {
	_, err := s.host.Submit(liveChannel(room), &broker.Publication{Op: broker.Send, Group: group, Key: key, Data: data, Ack: broker.AckMemory})
	return err
}

// sendToUser sends a message about a room to a user, on their own channel. It is no reason to fail.
func (s *System) sendToUser(user, room string, data []byte) {
	_, err := s.host.Submit(wire.UserChannel(user), &broker.Publication{Op: broker.Send, Group: groupRooms, Key: room, Data: data, Ack: broker.AckMemory})
	if err != nil {
		s.host.Log().Warn("message about a room was not sent to its user", slog.String("error", err.Error()))
	}
}
