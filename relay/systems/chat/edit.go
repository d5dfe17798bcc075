package chat

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
)

// The most reactions that a message keeps.
const (
	maxReactionKinds = 20
	maxReactions     = 500
)

// alter changes a message under the room's lock. What f does to it is kept and told, unless f says that there is
// nothing to do.
func (s *System) alter(ctx *fasthttp.RequestCtx, id *auth.Identity, f func(r *room, c *change, m *Message) (told []byte, err error)) error {
	message := param(ctx, "messageId")
	r, err := s.rooms.hold(param(ctx, "roomId"))
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	number, ok := r.find(message)
	block := blockChannel(r.id, number)
	s.touch(stateChannel(r.id))
	s.touch(block)
	var c change
	var raw []byte
	err = func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, err := r.of(id.User); err != nil {
			return err
		}
		kept, _, found := s.core.Broker().Item(block, groupMessages, message)
		if !ok || !found {
			return errNoMessage
		}
		var m Message
		if err := codec.Unmarshal(kept, &m); err != nil {
			return err
		}
		told, err := f(r, &c, &m)
		if err != nil {
			return err
		}
		if told == nil {
			raw = kept
			safe, err := s.confirmed(block)
			if err != nil {
				return err
			}
			c.waits = append(c.waits, safe)
			r.draw(&c)
			return nil
		}
		raw = encode(&m)
		safe, err := s.put(block, groupMessages, m.ID, raw)
		if err != nil {
			return err
		}
		if err := s.live(r.id, groupMessages, m.ID, told); err != nil {
			_, _ = s.put(block, groupMessages, m.ID, kept)
			return err
		}
		r.edits++
		if m.Position == r.last || r.newest != nil && r.newest.MessageID == m.ID { // those after it may be deleted
			r.newest = m.preview()
		}
		c.waits = append(c.waits, safe)
		r.draw(&c)
		return nil
	}()
	if err != nil {
		return err
	}
	if err := s.settle(r, &c); err != nil {
		return err
	}
	return answer(ctx, fasthttp.StatusOK, raw)
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
	return s.alter(ctx, id, func(r *room, c *change, m *Message) ([]byte, error) {
		if m.UserID != id.User {
			return nil, &refusal{403, "Only its author may edit a message", "forbidden", ""}
		}
		m.Content, m.Edited, m.EditedAt = *d.Content, true, timestamp(s.core.Now())
		if d.Metadata != nil {
			m.Metadata = d.Metadata
		}
		c.events = append(c.events, event{topicMessageEdited, id.User, append(s.appendMembers(about(r.id, m.ID, id.User), r), '}')})
		return append(append([]byte(`{"type":"message_edited","message":`), encode(m)...), '}'), nil
	})
}

// addReaction is PUT /chat/rooms/{roomId}/messages/{messageId}/reactions/{reaction}.
func (s *System) addReaction(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.react(ctx, id, "reaction_added", topicReactionAdded, func(m *Message, reaction string) (bool, error) {
		users := m.Reactions[reaction]
		if slices.Contains(users, id.User) {
			return false, nil
		}
		all := 0
		for _, list := range m.Reactions {
			all += len(list)
		}
		if all >= maxReactions || users == nil && len(m.Reactions) >= maxReactionKinds {
			return false, &refusal{409, "The message has as many reactions as it may", "too_many_reactions", "reaction"}
		}
		m.Reactions[reaction] = append(users, id.User)
		return true, nil
	})
}

// removeReaction is DELETE on the same.
func (s *System) removeReaction(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	return s.react(ctx, id, "reaction_removed", topicReactionRemoved, func(m *Message, reaction string) (bool, error) {
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
func (s *System) react(ctx *fasthttp.RequestCtx, id *auth.Identity, kind, topic string, f func(m *Message, reaction string) (bool, error)) error {
	reaction := param(ctx, "reaction")
	if err := validReaction(reaction); err != nil {
		return err
	}
	return s.alter(ctx, id, func(r *room, c *change, m *Message) ([]byte, error) {
		if changed, err := f(m, reaction); err != nil || !changed {
			return nil, err
		}
		b := wire.AppendString(append(about(r.id, m.ID, id.User), `,"reaction":`...), reaction)
		c.events = append(c.events, event{topic, id.User, append(b, '}')})
		return append(append([]byte(`{"type":"`+kind+`",`), b[1:]...), '}'), nil
	})
}

// deleteMessage is DELETE /chat/rooms/{roomId}/messages/{messageId}: by its author, or the room's owner.
func (s *System) deleteMessage(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	message := param(ctx, "messageId")
	r, err := s.rooms.hold(param(ctx, "roomId"))
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	block, ok := r.find(message)
	s.touch(stateChannel(r.id))
	s.touch(blockChannel(r.id, block))
	var c change
	if err := s.delete(r, &c, id, message, block, ok); err != nil {
		return err
	}
	if err := s.settle(r, &c); err != nil {
		return err
	}
	return done(ctx)
}

// delete is the part of deleteMessage that holds the room's lock. That a message was deleted is noted first: no
// position is given twice.
func (s *System) delete(r *room, c *change, id *auth.Identity, message string, block uint64, valid bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.of(id.User); err != nil {
		return err
	}
	raw, _, found := s.core.Broker().Item(blockChannel(r.id, block), groupMessages, message)
	if !valid || !found {
		return errNoMessage
	}
	var m Message
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	if m.UserID != id.User && !r.owner(id.User) {
		return &refusal{403, "Only its author and the room's owner may delete a message", "forbidden", ""}
	}
	position := m.Position
	d := deletion{position, nonceOf(m.UserID, m.Nonce)}
	i, _ := slices.BinarySearchFunc(r.deleted, position, func(d deletion, at uint64) int { return compare(d.Position, at) })
	deleted := slices.Insert(slices.Clone(r.deleted), i, d)
	if err := s.keepDeleted(r.id, block, deleted); err != nil {
		return err
	}
	safe, err := s.remove(blockChannel(r.id, block), groupMessages, message)
	if err == nil {
		b := about(r.id, message, id.User)
		err = s.live(r.id, groupMessages, message, append(append([]byte(`{"type":"message_deleted",`), b[1:]...), '}'))
		if err != nil {
			_, _ = s.put(blockChannel(r.id, block), groupMessages, message, raw)
		}
	}
	if err != nil {
		_ = s.keepDeleted(r.id, block, r.deleted)
		return err
	}
	r.deleted = deleted
	r.edits++
	r.remember(d.Nonce, "")
	if position == r.last || r.newest != nil && r.newest.MessageID == message {
		r.newest, r.stale = nil, true
	}
	c.waits = append(c.waits, safe)
	c.events = append(c.events, event{topicMessageDeleted, id.User, append(s.appendMembers(about(r.id, message, id.User), r), '}')})
	r.draw(c)
	return nil
}

// keepDeleted writes what was deleted of a block.
func (s *System) keepDeleted(room string, block uint64, deleted []deletion) error {
	list := []deletion{}
	for _, d := range deleted {
		if blockOf(d.Position) == block {
			list = append(list, d)
		}
	}
	_, err := s.put(stateChannel(room), groupDeleted, strconv.FormatUint(block, 10), encode(list))
	return err
}
