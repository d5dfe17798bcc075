package chat

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/systems/internal/encode"
)

// joinRoom is POST /chat/rooms/{roomId}/join: a public room is open to everybody.
func (s *System) joinRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	err := s.addUser(ctx, id.User, id.User, func(r *room) error {
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
	return s.addUser(ctx, id.User, *body.UserID, func(r *room) error {
		_, err := r.member(id.User)
		return err
	})
}

// addUser makes a user a member, if allowed does not refuse it. It responds with the room: 201, or 200 if the user was a
// member before.
func (s *System) addUser(ctx *fasthttp.RequestCtx, by, user string, allowed func(r *room) error) error {
	return s.inRoom(ctx, func(r *room) error {
		if err := s.latest(r); err != nil {
			return err
		}
		p, view, err := s.beginMember(r, by, user, allowed)
		if err != nil {
			return err
		}
		if p == nil {
			return answer(ctx, fasthttp.StatusOK, view)
		}
		if err := s.index(indexOrder{User: user, Room: r.id, Joined: p.Joined}); err != nil {
			s.untold(r, p)
			if user != by {
				err = aboutUser(err, user, "userId")
			}
			return err
		}
		var added []byte
		err = s.change(r, func(c *change) error {
			err := allowed(r)
			switch {
			case r.gone:
				return errNoRoom
			case err != nil:
				return err
			}
			if err = s.storeMember(r, c, by, p); err == nil {
				view, added = marshal(r.view(by, true)), s.roomAdded(r, by)
				s.told(r, p)
			}
			return err
		})
		if added == nil {
			s.untold(r, p)
		}
		if err != nil {
			return err
		}
		s.sendToUser(user, r.id, added)
		return answer(ctx, fasthttp.StatusCreated, view)
	})
}

// beginMember notes that a user is to become a member, or returns the room if the user is one.
func (s *System) beginMember(r *room, by, user string, allowed func(r *room) error) (p *pending, view []byte, err error) {
	for p == nil && view == nil && err == nil {
		if err := s.settled(r, user); err != nil {
			return nil, nil, err
		}
		err = s.change(r, func(c *change) error {
			if r.gone {
				return errNoRoom
			}
			err := allowed(r)
			switch {
			case err != nil:
			case r.pending[user] != nil: // since a moment ago
			case r.members[user] != nil:
				if err = c.wait(s.barrier(r, stateChannel(r.id))); err == nil {
					view = marshal(r.view(by, true))
				}
			case len(r.order)+r.joining() >= s.limit.Members:
				err = &refusal{409, fmt.Sprintf("The room has reached its limit of members: %d", s.limit.Members), "room_full", ""}
			default:
				p, err = s.note(r, user, r.joins(s.host.Now()), true)
			}
			return err
		})
	}
	return p, view, err
}

// storeMember makes a user a member, whose index says so. The caller holds mu.
func (s *System) storeMember(r *room, c *change, by string, p *pending) error {
	m := &member{ID: p.ID, JoinedAt: p.Joined, Read: r.last, key: wire.UserKey(p.ID)}
	if err := c.wait(s.put(r, stateChannel(r.id), groupMembers, m.key, marshal(m))); err != nil {
		return err
	}
	if err := s.sendToRoom(r.id, groupMembers, m.key, encode.Object("type", "member_added", "member", marshal(m), "by", by)); err != nil {
		_, _ = s.remove(r, stateChannel(r.id), groupMembers, m.key)
		return err
	}
	r.add(m)
	c.emit(topicMemberAdded, by, s.aboutMember(r, m.ID, by))
	return nil
}

// aboutMember is the data of an event about a member. The caller holds mu.
func (s *System) aboutMember(r *room, user, by string) []byte {
	return append(s.appendMembers(encode.Members(nil, "roomId", r.id, "userId", user, "by", by), r), '}')
}

// leaveRoom is POST /chat/rooms/{roomId}/leave.
func (s *System) leaveRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.removeUser(ctx, id.User, id.User)
}

// removeMember is DELETE /chat/rooms/{roomId}/members/{userId}.
func (s *System) removeMember(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.removeUser(ctx, id.User, param(ctx, "userId"))
}

// removeUser ends a user's membership, and with the last one the room. From then on the guard lets the user do nothing in
// the room.
func (s *System) removeUser(ctx *fasthttp.RequestCtx, by, user string) error {
	return s.inRoom(ctx, func(r *room) (err error) {
		var p *pending
		for p == nil && err == nil {
			if err := s.settled(r, user); err != nil {
				return err
			}
			err = s.change(r, func(c *change) (err error) {
				if r.pending[user] != nil { // since a moment ago
					return nil
				}
				c.then = func() {
					reason := "removed from the room"
					if by == user {
						reason = "left the room"
					}
					s.revoke(r.id, user, reason)
					s.sendToUser(user, r.id, encode.Object("type", "room_removed", "roomId", r.id, "by", by))
				}
				p, err = s.deleteMember(r, c, by, user)
				return err
			})
		}
		if p == nil {
			return err
		}
		if err != nil {
			s.untold(r, p)
			return err
		}
		if err := s.index(indexOrder{User: user, Room: r.id, Joined: p.Joined, Over: true}); err != nil { // the user's list of rooms mends it, too
			s.host.Log().Warn("room was not removed from a user's rooms yet", slog.String("error", err.Error()))
			s.untold(r, p)
			return done(ctx)
		}
		r.mu.Lock()
		s.told(r, p)
		r.mu.Unlock()
		return done(ctx)
	})
}

// revoke takes the subscriptions to a room away from a user, on all nodes.
func (s *System) revoke(room, user, reason string) {
	s.host.Revoke(user, liveChannel(room), reason)
	s.host.Revoke(user, wire.PresenceNamespace+":"+liveChannel(room), reason)
}

// deleteMember is the part of removeUser that holds the room's lock. With an error nothing has changed.
func (s *System) deleteMember(r *room, c *change, by, user string) (*pending, error) {
	if _, err := r.member(by); err != nil {
		return nil, err
	}
	m := r.members[user]
	switch {
	case by != user && !r.owner(by):
		return nil, &refusal{403, "Only the room's owner may remove others", "forbidden", ""}
	case m == nil:
		return nil, &refusal{404, "This user is not a member of the room", "not_found", ""}
	}
	p, err := s.note(r, user, m.JoinedAt, false)
	if err != nil {
		return nil, err
	}
	if err := c.wait(s.remove(r, stateChannel(r.id), groupMembers, m.key)); err != nil {
		s.told(r, p)
		return nil, err
	}
	r.remove(m)
	s.typing.End(r.id, user)
	if err := s.sendToRoom(r.id, groupMembers, m.key, encode.Object("type", "member_removed", "userId", user, "by", by)); err != nil {
		s.host.Log().Warn("end of a membership was not sent to the room", slog.String("error", err.Error()))
	}
	c.emit(topicMemberRemoved, by, s.aboutMember(r, user, by))
	if len(r.order) == 0 {
		s.deleteRoom(r)
		c.emit(topicRoomDeleted, by, encode.Object("roomId", r.id, "userId", by))
	}
	return p, nil
}

// deleteRoom deletes a room without members. The caller holds mu.
func (s *System) deleteRoom(r *room) {
	r.gone = true
	b := s.host.Broker()
	for block := blockOf(r.meta.First); block <= r.meta.Block; block++ {
		b.Clear(blockChannel(r.id, block))
	}
	b.Clear(stateChannel(r.id))
	b.Clear(liveChannel(r.id))
}

// guard decides what a client may do with a room's channel: members follow it, and no client publishes.
func (s *System) guard(id *auth.Identity, op auth.Ops, channel string) hub.Verdict {
	room := channel[len(roomNamespace)+1:]
	state := stateChannel(room)
	if !validRoom(room) {
		return hub.Unknown
	}
	if s.durable && s.host.Broker().Load(state) != nil {
		return hub.Denied
	}
	if _, _, known := s.host.Broker().Item(state, groupRoom, keyMeta); !known {
		return hub.Unknown
	}
	if op&auth.Publish == 0 && s.isMember(room, id.User) {
		return hub.Allowed
	}
	return hub.Denied
}

// isMember asks the channel that holds the members.
func (s *System) isMember(room, user string) bool {
	_, _, ok := s.host.Broker().Item(stateChannel(room), groupMembers, wire.UserKey(user))
	return ok && user != ""
}
