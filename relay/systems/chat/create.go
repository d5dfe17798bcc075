package chat

import (
	"errors"
	"fmt"
	"slices"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
)

// newRoom is the body of POST /chat/rooms.
type newRoom struct {
	Name        *string  `json:"name"`
	Description string   `json:"description"`
	IsPrivate   bool     `json:"isPrivate"`
	Members     []string `json:"members"`
}

// check says what is wrong with it, and returns the members, the creator first and each once.
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
	now := timestamp(s.core.Now())
	r := s.rooms.begin(newID(s.core.Now(), ""))
	defer s.rooms.release(r)
	r.meta = meta{Name: *n.Name, Description: n.Description, CreatedBy: id.User, CreatedAt: now, IsPrivate: n.IsPrivate, LastActivity: now, First: 1}
	for _, user := range ids {
		r.enter(&member{ID: user, JoinedAt: now, key: wire.UserKey(user)})
	}
	safe, err := s.store(r)
	if err != nil {
		r.err = errNoRoom
		close(r.ready)
		return err
	}
	r.mu.Lock()
	close(r.ready)
	b := wire.AppendString([]byte(`{"roomId":`), r.id)
	b = wire.AppendString(append(b, `,"createdBy":`...), id.User)
	c := &change{waits: []broker.Receipt{safe}, events: []event{{topicRoomCreated, id.User, append(s.appendMembers(b, r), '}')}}}
	r.draw(c)
	view, told := encode(r.view(id.User, true)), s.roomAdded(r, id.User)
	r.mu.Unlock()
	if err := s.settle(r, c); err != nil {
		return err
	}
	for _, user := range ids {
		s.tell(user, r.id, told)
	}
	return answer(ctx, fasthttp.StatusCreated, view)
}

// roomAdded is what a user is told who has become a member. The caller holds mu.
func (s *System) roomAdded(r *room, by string) []byte {
	b := append([]byte(`{"type":"room_added","room":`), encode(r.view("", false))...)
	return append(wire.AppendString(append(b, `,"by":`...), by), '}')
}

// store writes a room that nobody has yet. The record comes last: without it there is no room.
func (s *System) store(r *room) (broker.Receipt, error) {
	for i, m := range r.order {
		if err := s.index(r.id, m); err != nil {
			s.unstore(r, i)
			if i > 0 && isRefusal(err) {
				err = &refusal{409, m.ID + " is a member of as many rooms as they may be", "too_many_rooms", "members"}
			}
			return broker.Receipt{}, err
		}
	}
	var safe broker.Receipt
	var err error
	for _, m := range r.order {
		if _, err = s.put(stateChannel(r.id), groupMembers, m.key, encode(m)); err != nil {
			break
		}
	}
	if err == nil {
		safe, err = s.put(stateChannel(r.id), groupRoom, keyMeta, encode(&r.meta)) // safe when all before is
	}
	if err != nil {
		s.core.Broker().Clear(stateChannel(r.id))
		s.unstore(r, len(r.order))
	}
	return safe, err
}

// unstore takes a room that is not to be out of the index of its first n members.
func (s *System) unstore(r *room, n int) {
	for _, m := range r.order[:n] {
		_, _ = s.remove(indexChannel(m.ID), groupRooms, r.id) // what is left is found when the user lists their rooms
	}
}

func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// index notes among a user's rooms that they are a member. It refuses one too many.
func (s *System) index(room string, m *member) error {
	_, err := s.put(indexChannel(m.ID), groupRooms, room, wire.AppendString(nil, m.JoinedAt))
	if errors.Is(err, broker.ErrTooManyItems) {
		return &refusal{409, fmt.Sprintf("You are a member of as many rooms as you may be: %d", s.limit.Rooms), "too_many_rooms", ""}
	}
	return err
}

// getRoom is GET /chat/rooms/{roomId}.
func (s *System) getRoom(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	r, err := s.rooms.hold(param(ctx, "roomId"))
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	if err := s.latest(r); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.gone:
		return errNoRoom
	case r.meta.IsPrivate && r.members[id.User] == nil:
		return errNotMember
	}
	v := r.view(id.User, true)
	if r.members[id.User] == nil {
		v.LastMessage = nil // what was said is for members
	}
	return answer(ctx, fasthttp.StatusOK, encode(v))
}

// listMembers is GET /chat/rooms/{roomId}/members.
func (s *System) listMembers(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	r, err := s.rooms.hold(param(ctx, "roomId"))
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.of(id.User); err != nil {
		return err
	}
	list := slices.Clone(r.order)
	return answer(ctx, fasthttp.StatusOK, encode(map[string]any{"members": list}))
}

// of is a user as a member. Errors: errNoRoom, errNotMember. The caller holds mu.
func (r *room) of(user string) (*member, error) {
	if r.gone {
		return nil, errNoRoom
	}
	if m := r.members[user]; m != nil {
		return m, nil
	}
	return nil, errNotMember
}
