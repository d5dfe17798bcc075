package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/systems/internal/encode"
)

// chatMessage is a message of a room. It is stored as it is sent.
type chatMessage struct {
	ID        string              `json:"id"`
	RoomID    string              `json:"roomId"`
	UserID    string              `json:"userId"`
	Content   string              `json:"content"`
	Type      string              `json:"type"`
	Metadata  json.RawMessage     `json:"metadata,omitempty"`
	CreatedAt string              `json:"createdAt"`
	Edited    bool                `json:"edited"`
	EditedAt  string              `json:"editedAt,omitempty"`
	Reactions map[string][]string `json:"reactions"` // users by reaction, in the order in which they came
	Position  uint64              `json:"position"`  // 1 for the first of the room
	Nonce     string              `json:"nonce,omitempty"`
}

func (m *chatMessage) preview() *preview { return &preview{m.ID, m.Content, m.UserID} }

// draft is the body of POST /chat/rooms/{roomId}/messages.
type draft struct {
	Content  *string         `json:"content"`
	Type     *string         `json:"type"`
	Metadata json.RawMessage `json:"metadata"`
	Nonce    string          `json:"nonce"`
}

func (d *draft) check() error {
	if err := length("content", d.Content, 1, maxContent); err != nil {
		return err
	}
	if d.Type != nil && !slices.Contains(kinds, *d.Type) {
		return wrong("type", "must be text, image or file")
	}
	if len(d.Nonce) > maxNonce {
		return wrong("nonce", fmt.Sprintf("must be at most %d bytes", maxNonce))
	}
	var err error
	d.Metadata, err = validMetadata(d.Metadata)
	return err
}

// sendMessage is POST /chat/rooms/{roomId}/messages.
func (s *System) sendMessage(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var d draft
	if err := read(ctx, &d); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	return s.inRoom(ctx, func(r *room) error {
		r.mu.Lock()
		next := r.last + 1
		r.mu.Unlock()
		s.touch(blockChannel(r.id, blockOf(next)))
		var raw []byte
		err := s.change(r, func(c *change) (err error) {
			raw, err = s.send(r, c, id, &d)
			return err
		})
		if err != nil {
			return err
		}
		s.messages.Inc()
		return answer(ctx, fasthttp.StatusCreated, raw)
	})
}

// send is the part of sendMessage that holds the room's lock. It returns the message as JSON.
func (s *System) send(r *room, c *change, id *auth.Identity, d *draft) ([]byte, error) {
	m, err := r.member(id.User)
	if err != nil {
		return nil, err
	}
	nonce := nonceOf(id.User, d.Nonce)
	if earlier, known := r.nonces[nonce]; known && nonce != "" {
		return s.sentBefore(r, c, earlier)
	}
	position := r.last + 1
	if err := s.beginBlock(r, position); err != nil {
		return nil, err
	}
	now := timestamp(s.host.Now())
	x := &chatMessage{ID: newID(s.host.Now(), r.lastID), RoomID: r.id, UserID: id.User, Content: *d.Content,
		Type: kinds[0], Metadata: d.Metadata, CreatedAt: now, Reactions: map[string][]string{}, Position: position, Nonce: d.Nonce}
	if d.Type != nil {
		x.Type = *d.Type
	}
	if err := s.begin(r, blockOf(position), x.ID); err != nil {
		return nil, err
	}
	raw, block := marshal(x), blockChannel(r.id, blockOf(position))
	if err := c.wait(s.put(r, block, groupMessages, x.ID, raw)); err != nil {
		return nil, err
	}
	if err := s.sendToRoom(r.id, groupMessages, x.ID, newMessage(raw, id)); err != nil {
		_, _ = s.remove(r, block, groupMessages, x.ID) // it was sent to nobody
		return nil, err
	}
	r.last, r.newest, r.stale = position, x.preview(), false
	r.meta.LastActivity = now
	r.remember(nonce, x.ID)
	m.Read = position
	_ = s.putMemory(r, stateChannel(r.id), groupMembers, m.key, marshal(m)) // may be lost in a crash: then it is read once more
	s.typing.End(r.id, id.User)
	c.emit(topicMessageSent, id.User, s.aboutMessage(r, x.ID, id.User))
	return raw, nil
}

// newMessage is what the room is sent.
func newMessage(raw []byte, id *auth.Identity) []byte {
	user := encode.Object("id", id.User, "name", id.Name, "avatar", id.Avatar)
	return append(encode.Members(make([]byte, 0, len(raw)+256), "type", "new_message", "message", raw, "user", user), '}')
}

// sentBefore is a message that was sent before with the same nonce. The caller holds mu.
func (s *System) sentBefore(r *room, c *change, earlier string) ([]byte, error) {
	if earlier == "" {
		return nil, &refusal{409, "The message that came with this nonce was deleted", "deleted", "nonce"}
	}
	number, ok := r.search(earlier)
	if position, before := positionOf(earlier); before {
		number, ok = blockOf(position), true
	}
	if !ok {
		return nil, errNoMessage
	}
	block := blockChannel(r.id, number)
	raw, _, ok := s.host.Broker().Item(block, groupMessages, earlier)
	if !ok {
		return nil, errNoMessage
	}
	return raw, c.wait(s.barrier(r, block))
}

// beginBlock makes room for a message: a new block when the last one is full, for which the oldest goes if that
// leaves as many messages as are to be kept. The caller holds mu.
func (s *System) beginBlock(r *room, position uint64) error {
	block := blockOf(position)
	if block == r.meta.Block {
		return nil
	}
	m := r.meta
	m.Block = block
	keep := uint64(s.limit.Messages)
	var dropped []uint64
	for end := (blockOf(m.First) + 1) * blockSize; end+keep <= position; end += blockSize {
		dropped = append(dropped, blockOf(m.First))
		m.First = end + 1
	}
	if _, err := s.put(r, stateChannel(r.id), groupRoom, keyMeta, marshal(&m)); err != nil {
		return err
	}
	r.meta = m
	for _, old := range dropped {
		s.host.Broker().Clear(blockChannel(r.id, old))
		for _, group := range []string{groupDeleted, groupStarts} {
			_, _ = s.remove(r, stateChannel(r.id), group, strconv.FormatUint(old, 10))
		}
	}
	r.starts = slices.DeleteFunc(r.starts, func(x start) bool { return x.block < blockOf(m.First) })
	r.deleted = slices.DeleteFunc(r.deleted, func(d deletion) bool { return d.Position < m.First })
	return nil
}

// begin writes which message is the first one of a block, if this is. The caller holds mu.
func (s *System) begin(r *room, block uint64, id string) error {
	if n := len(r.starts); n == 0 || r.starts[n-1].block < block {
		if _, err := s.put(r, stateChannel(r.id), groupStarts, strconv.FormatUint(block, 10), wire.AppendString(nil, id)); err != nil {
			return err
		}
	}
	r.begins(block, id)
	return nil
}

// listMessages is GET /chat/rooms/{roomId}/messages: a page, oldest first, the newest page without before.
func (s *System) listMessages(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	limit, err := pageSize(ctx)
	if err != nil {
		return err
	}
	before, set, err := number(ctx, "before")
	if err != nil {
		return wrong("before", "must be a position")
	}
	return s.inRoom(ctx, func(r *room) error {
		r.mu.Lock()
		_, err := r.member(id.User)
		first, last := r.meta.First, r.last
		r.mu.Unlock()
		if err != nil {
			return err
		}
		if !set || before > last {
			before = last + 1
		}
		list, more, err := s.page(r.id, first, before, limit)
		if err != nil {
			return err
		}
		messages := func(b []byte) []byte {
			return encode.List(b, list, func(b, message []byte) []byte { return append(b, message...) })
		}
		return answer(ctx, fasthttp.StatusOK, encode.Object("messages", messages, "more", more))
	})
}

// number is a parameter of the query; false without one.
func number(ctx *fasthttp.RequestCtx, name string) (n uint64, set bool, err error) {
	raw := ctx.QueryArgs().Peek(name)
	if len(raw) == 0 {
		return 0, false, nil
	}
	n, err = strconv.ParseUint(string(raw), 10, 64)
	return n, true, err
}
