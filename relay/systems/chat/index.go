package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/cluster"
)

// A user's index, chat-user:{user}, says which rooms may have the user as a member, and since when: it has all of them, and after a crash others for a while. It
// is written by the node that owns it, by order of the node that owns the room. An order that comes late, or twice, changes nothing: each names when
// the membership began, and in a room later ones begin later.

// callIndex is the call for an indexOrder.
const callIndex = "chat.index"

// indexOrder is a membership that begins, or is over.
type indexOrder struct {
	User   string `json:"user"`
	Room   string `json:"room"`
	Joined string `json:"joined"`
	Over   bool   `json:"over,omitempty"`
}

// indexFull is the answer to an order for a user who may not be in another room.
const indexFull = "full"

// indexes orders the changes of users' indexes on this node.
type indexes struct {
	mu [64]sync.Mutex // by user
}

// index has a user's index say that a membership begins or is over, and waits until that is stored. It refuses one room too many.
func (s *System) index(o indexOrder) error {
	answer, err := "", cluster.ErrNotOwner
	if !s.host.Elsewhere(indexChannel(o.User)) {
		answer, err = s.indexHere(&o)
	}
	if errors.Is(err, cluster.ErrNotOwner) {
		answer, err = s.indexThere(&o)
	}
	if err == nil && answer == indexFull {
		return &refusal{409, fmt.Sprintf("You have reached the limit of rooms: %d", s.limit.Rooms), "too_many_rooms", ""}
	}
	return err
}

func (s *System) indexThere(o *indexOrder) (string, error) {
	answer, err := s.host.CallOwner(indexChannel(o.User), callIndex, marshal(o))
	return string(answer), err
}

// answerIndex carries an order of another node out.
func (s *System) answerIndex(body []byte) ([]byte, error) {
	var o indexOrder
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("request for a user's rooms: %w", err)
	}
	answer, err := s.indexHere(&o)
	if errors.Is(err, cluster.ErrNotOwner) {
		err = cluster.ErrNoOwner
	}
	return []byte(answer), err
}

// indexHere carries an order out.
func (s *System) indexHere(o *indexOrder) (answer string, err error) {
	channel := indexChannel(o.User)
	if err := s.host.Broker().Load(channel); err != nil { // what is read there decides
		return "", err
	}
	receipt, err := s.indexed(channel, o)
	if errors.Is(err, broker.ErrTooManyItems) {
		return indexFull, nil
	}
	if err == nil {
		_, err = receipt.Settle()
	}
	return "", err
}

func (s *System) indexed(channel string, o *indexOrder) (broker.Receipt, error) {
	mu := &s.indexes.mu[maphash.String(roomSeed, o.User)%uint64(len(s.indexes.mu))]
	mu.Lock()
	defer mu.Unlock()
	data, _, found := s.host.Broker().Item(channel, groupRooms, o.Room)
	joined := ""
	if found {
		joined, _ = wire.Text(data)
	}
	p := &broker.Publication{Op: broker.Delete, Group: groupRooms, Key: o.Room}
	switch {
	case !o.Over && joined < o.Joined:
		p.Op, p.Data = broker.Set, wire.AppendString(nil, o.Joined)
	case !o.Over, joined > o.Joined:
		p.Key = "none" // nothing of that name is ever there: what was stored before is waited for
	}
	return s.host.SubmitOwned(channel, p)
}
