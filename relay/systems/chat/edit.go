package chat

import (
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/systems/internal/encode"
)

// The most reactions that a message keeps.
const (
	maxReactionKinds = 20
	maxReactions     = 500
)

// onMessage calls f with the room's lock and the message of the path; kept is the message as it is stored.
func (s *System) onMessage(ctx *fasthttp.RequestCtx, id *auth.Identity, f func(r *room, c *change, m *chatMessage, kept []byte) error) error {
	message := param(ctx, "messageId")
	return s.inRoom(ctx, func(r *room) error {
		number, ok := r.find(message)
		block := blockChannel(r.id, number)
		s.touch(block)
		return s.change(r, func(c *change) error {
			if _, err := r.member(id.User); err != nil {
				return err
			}
			kept, _, found := s.host.Broker().Item(block, groupMessages, message)
			if !ok || !found {
				return errNoMessage
			}
			var m chatMessage
			if err := codec.Unmarshal(kept, &m); err != nil {
				return err
			}
			return f(r, c, &m, kept)
		})
	})
}

// alter changes a message. What f does to it is stored, and what f returns is sent to the room, unless that is nil: then
// nothing has changed. It responds with the message.
func (s *System) alter(ctx *fasthttp.RequestCtx, id *auth.Identity, f func(r *room, c *change, m *chatMessage) (sent []byte, err error)) error {
	var raw []byte
	err := s.onMessage(ctx, id, func(r *room, c *change, m *chatMessage, kept []byte) error {
		block := blockChannel(r.id, blockOf(m.Position))
		sent, err := f(r, c, m)
		if err != nil {
			return err
		}
		if sent == nil {
			raw = kept
			return c.wait(s.barrier(r, block))
		}
		raw = marshal(m)
		if err := c.wait(s.put(r, block, groupMessages, m.ID, raw)); err != nil {
			return err
		}
		if err := s.sendToRoom(r.id, groupMessages, m.ID, sent); err != nil {
			_, _ = s.put(r, block, groupMessages, m.ID, kept)
			return err
		}
		r.edits++
		if r.isNewest(m) {
			r.newest = m.preview()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return answer(ctx, fasthttp.StatusOK, raw)
}

// isNewest reports whether lastMessage is this message; those after it may be deleted. The caller holds mu.
func (r *room) isNewest(m *chatMessage) bool {
	return m.Position == r.last || r.newest != nil && r.newest.MessageID == m.ID
}

// editMessage is PATCH /chat/rooms/{roomId}/messages/{messageId}.
func (s *System) editMessage(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var d draft
	if err := read(ctx, &d); err != nil {
		return err
	}
	d.Type, d.Nonce = nil, "" // these stay
	if err := d.check(); err != nil {
		return err
	}
	return s.alter(ctx, id, func(r *room, c *change, m *chatMessage) ([]byte, error) {
		if m.UserID != id.User {
			return nil, &refusal{403, "Only its author may edit a message", "forbidden", ""}
		}
		m.Content, m.Edited, m.EditedAt = *d.Content, true, timestamp(s.host.Now())
		if d.Metadata != nil {
			m.Metadata = d.Metadata
		}
		c.emit(topicMessageEdited, id.User, s.aboutMessage(r, m.ID, id.User))
		return encode.Object("type", "message_edited", "message", marshal(m)), nil
	})
}

// addReaction is PUT /chat/rooms/{roomId}/messages/{messageId}/reactions/{reaction}.
func (s *System) addReaction(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.react(ctx, id, "reaction_added", topicReactionAdded, func(m *chatMessage, reaction string) (bool, error) {
		users := m.Reactions[reaction]
		if slices.Contains(users, id.User) {
			return false, nil
		}
		all := 0
		for _, list := range m.Reactions {
			all += len(list)
		}
		if all >= maxReactions || users == nil && len(m.Reactions) >= maxReactionKinds {
			return false, &refusal{409, "The message has reached its limit of reactions", "too_many_reactions", "reaction"}
		}
		m.Reactions[reaction] = append(users, id.User)
		return true, nil
	})
}

// removeReaction is DELETE on the same.
func (s *System) removeReaction(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.react(ctx, id, "reaction_removed", topicReactionRemoved, func(m *chatMessage, reaction string) (bool, error) {
		i := slices.Index(m.Reactions[reaction], id.User)
		if i < 0 {
			return false, nil
		}
		if m.Reactions[reaction] = slices.Delete(m.Reactions[reaction], i, i+1); len(m.Reactions[reaction]) == 0 {
			delete(m.Reactions, reaction)
		}
		return true, nil
	})
}

// react changes the reactions of a message.
func (s *System) react(ctx *fasthttp.RequestCtx, id *auth.Identity, kind, topic string, f func(m *chatMessage, reaction string) (bool, error)) error {
	reaction := param(ctx, "reaction")
	if err := validReaction(reaction); err != nil {
		return err
	}
	return s.alter(ctx, id, func(r *room, c *change, m *chatMessage) ([]byte, error) {
		if changed, err := f(m, reaction); err != nil || !changed {
			return nil, err
		}
		data := encode.Object("roomId", r.id, "messageId", m.ID, "userId", id.User, "reaction", reaction)
		c.emit(topic, id.User, data)
		return slices.Concat([]byte(`{"type":"`+kind+`",`), data[1:]), nil
	})
}

// deleteMessage is DELETE /chat/rooms/{roomId}/messages/{messageId}: by its author, or the room's owner.
func (s *System) deleteMessage(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	err := s.onMessage(ctx, id, func(r *room, c *change, m *chatMessage, kept []byte) error {
		if m.UserID != id.User && !r.owner(id.User) {
			return &refusal{403, "Only its author and the room's owner may delete a message", "forbidden", ""}
		}
		return s.delete(r, c, id, m, kept)
	})
	if err != nil {
		return err
	}
	return done(ctx)
}

// delete deletes a message. That it was deleted is stored first: no position is given twice. The caller holds mu.
func (s *System) delete(r *room, c *change, id *auth.Identity, m *chatMessage, kept []byte) error {
	number := blockOf(m.Position)
	block := blockChannel(r.id, number)
	d := deletion{m.Position, nonceOf(m.UserID, m.Nonce)}
	deleted, at := r.deleted, r.deletedBefore(m.Position)
	if at == len(deleted) || deleted[at].Position != m.Position { // or an owner of before has not come further
		deleted = slices.Insert(slices.Clone(deleted), at, d)
	}
	if err := s.keepDeleted(r, number, deleted); err != nil {
		return err
	}
	err := c.wait(s.remove(r, block, groupMessages, m.ID))
	if err == nil {
		err = s.sendToRoom(r.id, groupMessages, m.ID, encode.Object("type", "message_deleted", "roomId", r.id, "messageId", m.ID, "userId", id.User))
		if err != nil {
			_, _ = s.put(r, block, groupMessages, m.ID, kept)
		}
	}
	if err != nil {
		_ = s.keepDeleted(r, number, r.deleted)
		return err
	}
	r.deleted = deleted
	r.edits++
	r.remember(d.Nonce, "")
	if r.isNewest(m) {
		r.newest, r.stale = nil, true
	}
	c.emit(topicMessageDeleted, id.User, s.aboutMessage(r, m.ID, id.User))
	return nil
}

// keepDeleted writes what was deleted of a block.
func (s *System) keepDeleted(r *room, block uint64, deleted []deletion) error {
	list := []deletion{}
	for _, d := range deleted {
		if blockOf(d.Position) == block {
			list = append(list, d)
		}
	}
	_, err := s.put(r, stateChannel(r.id), groupDeleted, strconv.FormatUint(block, 10), marshal(list))
	return err
}
