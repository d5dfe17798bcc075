package chat

import (
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/systems/internal/encode"
)

// newRoom is the body of POST /chat/rooms.
type newRoom struct {
	Name        *string  `json:"name"`
	Description string   `json:"description"`
	IsPrivate   bool     `json:"isPrivate"`
	Members     []string `json:"members"`
}

// check returns the members, the creator first and each once, or what is wrong with the body.
func (n *newRoom) check(creator string, most int) ([]string, error) {
	if err := length("name", n.Name, 1, maxRoomName); err != nil {
		return nil, err
	}
	if err := length("description", &n.Description, 0, maxDescription); err != nil {
		return nil, err
	}
	ids := []string{creator}
	seen := map[string]bool{creator: true}
	for _, id := range n.Members {
		if seen[id] {
			continue
		}
		if err := validUser("members", id); err != nil {
			return nil, err
		}
		if len(ids) == most {
			return nil, wrong("members", fmt.Sprintf("must be at most %d, with the creator", most))
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, nil
}

// createRoom is POST /chat/rooms.
func (s *System) createRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var n newRoom
	if err := read(ctx, &n); err != nil {
		return err
	}
	ids, err := n.check(id.User, s.limit.Members)
	if err != nil {
		return err
	}
	now := timestamp(s.host.Now())
	room, err := s.newRoomID()
	if err != nil {
		return err
	}
	r := s.rooms.begin(room)
	defer s.rooms.release(r)
	r.meta = meta{about: about{*n.Name, n.Description, id.User, now, n.IsPrivate, now}, First: 1}
	for _, user := range ids {
		r.add(&member{ID: user, JoinedAt: now, key: wire.UserKey(user)})
	}
	var view, added []byte
	err = s.indexAll(r)
	if err == nil {
		err = s.change(r, func(c *change) error {
			if err := s.store(r, c); err != nil {
				return err
			}
			close(r.ready)
			c.emit(topicRoomCreated, id.User, append(s.appendMembers(encode.Members(nil, "roomId", r.id, "createdBy", id.User), r), '}'))
			view, added = marshal(r.view(id.User, true)), s.roomAdded(r, id.User)
			return nil
		})
	}
	if view == nil { // there is none
		r.err = errNoRoom
		close(r.ready)
		s.unindex(r)
	}
	if err != nil {
		return err
	}
	for _, user := range ids {
		s.sendToUser(user, r.id, added)
	}
	return answer(ctx, fasthttp.StatusCreated, view)
}

// newRoomID draws the id of a room that is this node's. cluster.ErrNotOwner: none is.
func (s *System) newRoomID() (string, error) {
	for range maxDraws {
		if id := newID(s.host.Now(), ""); s.here(id) == nil {
			return id, nil
		}
	}
	return "", cluster.ErrNotOwner
}

// maxDraws is enough for a node with one of the most partitions that there may be.
const maxDraws = 1 << 16

// ofNewRoom is a channel of a room that is to be made: rooms are made on all nodes.
func (s *System) ofNewRoom(*fasthttp.RequestCtx, *auth.Identity) string {
	return stateChannel(newID(s.host.Now(), ""))
}

// roomAdded is what a user is sent who has become a member. The caller holds mu.
func (s *System) roomAdded(r *room, by string) []byte {
	return encode.Object("type", "room_added", "room", marshal(r.view("", false)), "by", by)
}

// store writes a room that is not known yet. The record comes last: without it there is no room. The caller holds mu.
func (s *System) store(r *room, c *change) (err error) {
	for _, m := range r.order {
		if _, err = s.put(r, stateChannel(r.id), groupMembers, m.key, marshal(m)); err != nil {
			break
		}
	}
	if err == nil {
		err = c.wait(s.put(r, stateChannel(r.id), groupRoom, keyMeta, marshal(&r.meta))) // stored when all before is
	}
	if err != nil {
		s.host.Broker().Clear(stateChannel(r.id))
	}
	return err
}

// indexAll adds a room that is being created to the rooms of its members.
func (s *System) indexAll(r *room) error {
	return s.each(len(r.order), func(i int) error {
		m := r.order[i]
		err := s.index(indexOrder{User: m.ID, Room: r.id, Joined: m.JoinedAt})
		if err != nil && i > 0 {
			err = aboutUser(err, m.ID, "members")
		}
		return err
	})
}

// aboutUser is an error of index in words for another user.
func aboutUser(err error, user, field string) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return &refusal{409, user + " has reached the limit of rooms", r.Code, field}
	}
	return err
}

// unindex takes a room that is not created out of the rooms of its members.
func (s *System) unindex(r *room) {
	_ = s.each(len(r.order), func(i int) error {
		m := r.order[i]
		_ = s.index(indexOrder{User: m.ID, Room: r.id, Joined: m.JoinedAt, Over: true}) // what is left is found when the user lists their rooms
		return nil
	})
}

// getRoom is GET /chat/rooms/{roomId}.
func (s *System) getRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.inRoom(ctx, func(r *room) error {
		if err := s.latest(r); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		_, err := r.member(id.User)
		if err != nil && (r.gone || r.meta.IsPrivate) {
			return err
		}
		v := r.view(id.User, true)
		if err != nil {
			v.LastMessage = nil // messages are for members
		}
		return answer(ctx, fasthttp.StatusOK, marshal(v))
	})
}

// listMembers is GET /chat/rooms/{roomId}/members.
func (s *System) listMembers(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.inRoom(ctx, func(r *room) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, err := r.member(id.User); err != nil {
			return err
		}
		return answer(ctx, fasthttp.StatusOK, marshal(map[string]any{"members": r.order}))
	})
}

// member is a user as a member. Errors: errNoRoom, errNotMember. The caller holds mu.
func (r *room) member(user string) (*member, error) {
	if r.gone {
		return nil, errNoRoom
	}
	if m := r.members[user]; m != nil {
		return m, nil
	}
	return nil, errNotMember
}
