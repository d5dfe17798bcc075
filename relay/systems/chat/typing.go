package chat

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/cluster"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/systems/chat/typing"
)

// Who types in a room is known to the node that owns the room. Others tell it what their clients do, in order for each user, and wait for no answer: what is
// lost on the way ends by its time.

// callTyping is the call for a typing.Order.
const callTyping = "chat.typing"

// typeHere carries an order out.
func (s *System) typeHere(o *typing.Order) error {
	switch {
	case o.Closed:
		s.typing.Disconnected(o.User, o.Connection, o.Room)
	case o.Stop:
		s.typing.End(o.Room, o.User)
	default:
		s.touch(stateChannel(o.Room))
		return s.typing.Start(o.Room, o.User, o.Connection)
	}
	return nil
}

// typeThere has the node that owns the room carry an order out.
func (s *System) typeThere(o *typing.Order) {
	if _, err := s.host.CallOwner(stateChannel(o.Room), callTyping, marshal(o)); err != nil {
		s.host.Log().Debug("typing was not reported to the node that owns the room", slog.String("error", err.Error()))
	}
}

// answerTyping carries an order of another node out.
func (s *System) answerTyping(body []byte) ([]byte, error) {
	var o typing.Order
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("report of typing: %w", err)
	}
	if s.here(o.Room) != nil {
		return nil, cluster.ErrNoOwner
	}
	return nil, s.typeHere(&o)
}

// errNotTyping is for users who are not members.
var errNotTyping = problem.New(403, "forbidden", errNotMember.Message, false)

// publishTyping changes what a room shows of a user.
func (s *System) publishTyping(room, user string, p *broker.Publication) error {
	p.Group, p.Key, p.Ack = groupTyping, wire.UserKey(user), broker.AckMemory
	_, err := s.host.Submit(liveChannel(room), p)
	return err
}

// onTyping is the topics chat.typing.start and chat.typing.stop. The user is the session's; a backend, which has
// none, names one.
func (s *System) onTyping(e *hub.Event) error {
	var data struct {
		RoomID string `json:"roomId"`
		UserID string `json:"userId"`
	}
	if err := codec.Unmarshal(e.Data, &data); err != nil || !validRoom(data.RoomID) {
		return problem.New(400, "bad_request", "roomId must be the id of a room", false)
	}
	user := data.UserID
	if e.Identity != nil {
		user = e.User
	}
	if user == "" {
		return problem.New(400, "bad_request", "userId is missing", false)
	}
	o := typing.Order{Room: data.RoomID, User: user, Connection: e.Connection, Stop: e.Topic == topicTypingStop}
	if s.here(o.Room) == nil {
		return s.typeHere(&o)
	}
	if s.touch(stateChannel(o.Room)); !o.Stop && !s.isMember(o.Room, user) {
		return errNotTyping
	}
	s.away.Add(o)
	return nil
}
