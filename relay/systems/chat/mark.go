package chat

import (
	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/systems/internal/encode"
)

// shownReaders is the most members of a room in which read markers are sent to the others: after each message every
// member sends one.
const shownReaders = 100

// markRead is POST /chat/rooms/{roomId}/read: up to a message, a position, or the end. A marker never goes back.
func (s *System) markRead(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var body struct {
		MessageID *string `json:"messageId"`
		Position  *uint64 `json:"position"`
	}
	if len(ctx.PostBody()) > 0 {
		if err := read(ctx, &body); err != nil {
			return err
		}
	}
	var position uint64
	switch {
	case body.MessageID != nil && body.Position != nil:
		return wrong("position", "and messageId exclude each other")
	case body.MessageID != nil:
		var ok bool
		if position, ok = positionOf(*body.MessageID); !ok && !isUUID(*body.MessageID) {
			return wrong("messageId", "must be the id of a message")
		}
	case body.Position != nil:
		position = *body.Position
	default:
		position = 1<<64 - 1
	}
	return s.inRoom(ctx, func(r *room) (err error) {
		s.touch(stateChannel(r.id))
		if body.MessageID != nil && position == 0 {
			if position, err = s.positionIn(r, id.User, *body.MessageID); err != nil {
				return err
			}
		}
		view, sent, err := s.mark(r, id.User, position)
		if err != nil {
			return err
		}
		if sent != nil {
			s.sendToUser(id.User, r.id, sent)
		}
		return answer(ctx, fasthttp.StatusOK, view)
	})
}

// positionIn is the position of a message, for a member.
func (s *System) positionIn(r *room, user, message string) (uint64, error) {
	r.mu.Lock()
	_, err := r.member(user)
	r.mu.Unlock()
	if err != nil {
		return 0, err
	}
	number, ok := r.find(message)
	block := blockChannel(r.id, number)
	s.touch(block)
	raw, _, found := s.host.Broker().Item(block, groupMessages, message)
	if !ok || !found {
		return 0, errNoMessage
	}
	var m struct{ Position uint64 }
	err = codec.Unmarshal(raw, &m)
	return m.Position, err
}

// mark is the part of markRead that holds the room's lock. It returns the response, and what is sent to the user's
// other connections; nil if nothing has changed.
func (s *System) mark(r *room, user string, position uint64) (view, sent []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, err := r.member(user)
	if err != nil {
		return nil, nil, err
	}
	before := m.Read
	if position = min(position, r.last); position > before {
		m.Read = position
		if err := s.putMemory(r, stateChannel(r.id), groupMembers, m.key, marshal(m)); err != nil {
			m.Read = before
			return nil, nil, err
		}
		if len(r.order) <= shownReaders {
			marker := encode.Object("type", "read", "userId", user, "position", position)
			_ = s.sendToRoom(r.id, "reads", m.key, marker) // the next marker says more
		}
	}
	view = encode.Object("roomId", r.id, "position", m.Read, "unread", r.unread(m.Read))
	if m.Read != before {
		sent = append([]byte(`{"type":"room_read",`), view[1:]...)
	}
	return view, sent, nil
}
