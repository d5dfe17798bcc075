package chat

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// joinRoom is POST /chat/rooms/{roomId}/join: a public room is open to everybody.
func (s *System) joinRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	err := s.add(ctx, id, id.User, func(r *room) error {
		if r.meta.IsPrivate && r.members[id.User] == nil {
			return errPrivate
		}
		return nil
	})
	if errors.Is(err, errNoRoom) { // as if it were private
		err = errPrivate
	}
	return err
}

// addMember is POST /chat/rooms/{roomId}/members: members add others.
func (s *System) addMember(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var body struct {
		UserID *string `json:"userId"`
	}
	if err := read(ctx, &body); err != nil {
		return err
	}
	if body.UserID == nil {
		return wrong("userId", "is missing")
	}
	if err := validUser("userId", *body.UserID); err != nil {
		return err
	}
	return s.add(ctx, id, *body.UserID, func(r *room) error {
		_, err := r.of(id.User)
		return err
	})
}

// add makes a user a member, if allowed lets it. It returns the room: 201, or 200 to whom it changes nothing for.
func (s *System) add(ctx *fasthttp.RequestCtx, id *auth.Identity, user string, allowed func(r *room) error) error {
	r, err := s.rooms.hold(param(ctx, "roomId"))
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	s.touch(stateChannel(r.id))
	s.touch(indexChannel(user))
	if err := s.latest(r); err != nil {
		return err
	}
	var c change
	added, view, told, err := s.enter(r, &c, id.User, user, allowed)
	if err != nil {
		return err
	}
	if err := s.settle(r, &c); err != nil {
		return err
	}
	if !added {
		return answer(ctx, fasthttp.StatusOK, view)
	}
	s.tell(user, r.id, told)
	return answer(ctx, fasthttp.StatusCreated, view)
}

// enter is the part of add that holds the room's lock.
func (s *System) enter(r *room, c *change, by, user string, allowed func(r *room) error) (added bool, view, told []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return false, nil, nil, errNoRoom
	}
	if err := allowed(r); err != nil {
		return false, nil, nil, err
	}
	if r.members[user] != nil {
		safe, err := s.confirmed(stateChannel(r.id))
		if err != nil {
			return false, nil, nil, err
		}
		c.waits = append(c.waits, safe)
		r.draw(c)
		return false, encode(r.view(by, true)), nil, nil
	}
	if len(r.order) >= s.limit.Members {
		return false, nil, nil, &refusal{409, fmt.Sprintf("The room has as many members as it may: %d", s.limit.Members), "room_full", ""}
	}
	m := &member{ID: user, JoinedAt: timestamp(s.core.Now()), Read: r.last, key: wire.UserKey(user)}
	if err := s.index(r.id, m); err != nil {
		if user != by && isRefusal(err) {
			err = &refusal{409, user + " is a member of as many rooms as they may be", "too_many_rooms", "userId"}
		}
		return false, nil, nil, err
	}
	safe, err := s.put(stateChannel(r.id), groupMembers, m.key, encode(m))
	if err == nil {
		b := append([]byte(`{"type":"member_added","member":`), encode(m)...)
		err = s.live(r.id, groupMembers, m.key, append(wire.AppendString(append(b, `,"by":`...), by), '}'))
		if err != nil {
			_, _ = s.remove(stateChannel(r.id), groupMembers, m.key)
		}
	}
	if err != nil {
		_, _ = s.remove(indexChannel(user), groupRooms, r.id)
		return false, nil, nil, err
	}
	r.enter(m)
	c.waits = append(c.waits, safe)
	c.events = append(c.events, event{topicMemberAdded, by, append(s.appendMembers(membership(r.id, user, by), r), '}')})
	r.draw(c)
	return true, encode(r.view(by, true)), s.roomAdded(r, by), nil
}

// membership begins the data of an event about a member.
func membership(room, user, by string) []byte {
	b := wire.AppendString([]byte(`{"roomId":`), room)
	b = wire.AppendString(append(b, `,"userId":`...), user)
	return wire.AppendString(append(b, `,"by":`...), by)
}

// leaveRoom is POST /chat/rooms/{roomId}/leave.
func (s *System) leaveRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.take(ctx, id.User, id.User)
}

// removeMember is DELETE /chat/rooms/{roomId}/members/{userId}.
func (s *System) removeMember(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.take(ctx, id.User, param(ctx, "userId"))
}

// take ends a user's membership, and with the last one the room.
func (s *System) take(ctx *fasthttp.RequestCtx, by, user string) error {
	r, err := s.rooms.hold(param(ctx, "roomId"))
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	s.touch(stateChannel(r.id))
	s.touch(indexChannel(user))
	var c change
	if err := s.exit(r, &c, by, user); err != nil {
		return err
	}
	if err := s.settle(r, &c); err != nil {
		return err
	}
	return done(ctx)
}

// exit ends a membership, and what hangs on it. From then on the guard lets the user do nothing in the room.
func (s *System) exit(r *room, c *change, by, user string) error {
	if err := s.strike(r, c, by, user); err != nil {
		return err
	}
	reason := "removed from the room"
	if by == user {
		reason = "left the room"
	}
	s.core.Revoke(user, liveChannel(r.id), reason)
	s.core.Revoke(user, "presence:"+liveChannel(r.id), reason)
	b := wire.AppendString([]byte(`{"type":"room_removed","roomId":`), r.id)
	s.tell(user, r.id, append(wire.AppendString(append(b, `,"by":`...), by), '}'))
	return nil
}

// strike is the part of exit that holds the room's lock.
func (s *System) strike(r *room, c *change, by, user string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.of(by); err != nil {
		return err
	}
	m := r.members[user]
	switch {
	case by != user && !r.owner(by):
		return &refusal{403, "Only the room's owner may remove others", "forbidden", ""}
	case m == nil:
		return &refusal{404, "This user is not a member of the room", "not_found", ""}
	}
	safe, err := s.remove(stateChannel(r.id), groupMembers, m.key)
	if err != nil {
		return err
	}
	_, err = s.remove(indexChannel(user), groupRooms, r.id)
	r.exit(m)
	if err != nil {
		s.core.Log().Warn("index of a user is behind", slog.String("error", err.Error())) // until the user lists their rooms
	}
	s.typing.clear(r.id, user)
	b := wire.AppendString([]byte(`{"type":"member_removed","userId":`), user)
	if err := s.live(r.id, groupMembers, m.key, append(wire.AppendString(append(b, `,"by":`...), by), '}')); err != nil {
		s.core.Log().Warn("room not told of a member's end", slog.String("error", err.Error()))
	}
	c.waits = append(c.waits, safe)
	c.events = append(c.events, event{topicMemberRemoved, by, append(s.appendMembers(membership(r.id, user, by), r), '}')})
	if len(r.order) == 0 {
		s.destroy(r)
		b := wire.AppendString([]byte(`{"roomId":`), r.id)
		c.events = append(c.events, event{topicRoomDeleted, by, append(wire.AppendString(append(b, `,"userId":`...), by), '}')})
	}
	r.draw(c)
	return nil
}

// destroy deletes a room that nobody is a member of. The caller holds mu.
func (s *System) destroy(r *room) {
	r.gone = true
	b := s.core.Broker()
	for block := blockOf(r.meta.First); block <= r.meta.Block; block++ {
		b.Clear(blockChannel(r.id, block))
	}
	b.Clear(stateChannel(r.id))
	b.Clear(liveChannel(r.id))
}

// guard says what a client may do with a room's channel: members follow it, and nobody publishes.
func (s *System) guard(id *auth.Identity, op auth.Ops, channel string) relay.Verdict {
	room := channel[len(roomNamespace)+1:]
	state := stateChannel(room)
	if !validRoom(room) {
		return relay.Unknown
	}
	if s.durable && s.core.Broker().Load(state) != nil {
		return relay.Denied
	}
	if _, _, known := s.core.Broker().Item(state, groupRoom, keyMeta); !known {
		return relay.Unknown
	}
	if op&auth.Publish == 0 && s.isMember(room, id.User) {
		return relay.Allowed
	}
	return relay.Denied
}

// isMember asks the channel that says so.
func (s *System) isMember(room, user string) bool {
	_, _, ok := s.core.Broker().Item(stateChannel(room), groupMembers, wire.UserKey(user))
	return ok && user != ""
}
