package chat

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"weir/internal/wire"
	"weir/relay/cluster"
)

// A membership that begins or ends is written to two channels, the room's and the user's index, which may be on two nodes. So the room notes it first, as an item
// pending/{user}; the index is written before a membership begins, and after it has ended; then the note goes. What a node that was lost has left of that is
// found by who loads the room: the index is made to say what the room says, and who is no member loses the subscriptions once more.

// groupPending is the group of the notes.
const groupPending = "pending"

// pending is a membership of which the index is being told. Guarded by room.mu, but for over.
type pending struct {
	ID     string `json:"id"`
	Joined string `json:"joined"`

	adds bool          // the membership is to begin
	over chan struct{} // closed when the request that does it has ended; nil: nobody does
}

// note notes that a user's index is to be told. The caller holds the room's mu. On one node nothing is written: the index is there.
func (s *System) note(r *room, user, joined string, adds bool) (*pending, error) {
	p := &pending{ID: user, Joined: joined, adds: adds, over: make(chan struct{})}
	if !s.host.Alone() {
		if _, err := s.put(r, stateChannel(r.id), groupPending, wire.UserKey(user), marshal(p)); err != nil {
			return nil, err
		}
	}
	r.pending[user] = p
	return p, nil
}

// told drops a note: the index says what the room says. The caller holds the room's mu.
func (s *System) told(r *room, p *pending) {
	delete(r.pending, p.ID)
	close(p.over)
	if !s.host.Alone() && !r.gone { // or nothing is left of it
		_, _ = s.remove(r, stateChannel(r.id), groupPending, wire.UserKey(p.ID)) // if it stays, the index is told once more
	}
}

// untold leaves a note to the repairs.
func (s *System) untold(r *room, p *pending) {
	r.mu.Lock()
	close(p.over)
	p.over = nil
	r.mu.Unlock()
	s.repairs.add(r.id)
}

// joining is how many are about to become members. The caller holds mu.
func (r *room) joining() (n int) {
	for _, p := range r.pending {
		if p.adds {
			n++
		}
	}
	return n
}

// settled waits until no request is about a user's membership, and tells the index what was left to tell.
func (s *System) settled(r *room, user string) error {
	for {
		r.mu.Lock()
		p := r.pending[user]
		if p == nil {
			r.mu.Unlock()
			return nil
		}
		if over := p.over; over != nil {
			r.mu.Unlock()
			<-over
			continue
		}
		p.adds, p.over = false, make(chan struct{})
		o := indexOrder{User: user, Room: r.id, Joined: p.Joined, Over: true}
		if m := r.members[user]; m != nil {
			o.Joined, o.Over = m.JoinedAt, false
		}
		r.mu.Unlock()
		if err := s.index(o); err != nil {
			s.untold(r, p)
			return err
		}
		r.mu.Lock()
		s.told(r, p)
		r.mu.Unlock()
	}
}

// repairs are the rooms of this node with something left to tell.
type repairs struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{} // holds a value if there are some; never closed

	// Guarded by mu, a leaf.
	mu    sync.Mutex
	rooms map[string]bool
}

func (x *repairs) add(room string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rooms == nil {
		x.rooms = make(map[string]bool)
	}
	x.rooms[room] = true
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// take returns the rooms there are, which are then forgotten.
func (x *repairs) take() (list []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for room := range x.rooms {
		list = append(list, room)
	}
	clear(x.rooms)
	return list
}

// repairPause is how long a repair that did not succeed rests.
const repairPause = time.Second

// repair tells indexes what is left to tell until ctx ends.
func (s *System) repair(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.repairs.wake:
		}
		again := false
		for _, room := range s.repairs.take() {
			if err := s.repairRoom(room); err != nil {
				s.host.Log().Debug("list of a user's rooms is not up to date yet", slog.String("room", room), slog.String("error", err.Error()))
				s.repairs.add(room)
				again = true
			}
		}
		if again {
			select {
			case <-ctx.Done():
			case <-time.After(repairPause):
			}
		}
	}
}

// repairRoom tells what is left to tell of a room, if this node owns it.
func (s *System) repairRoom(id string) error {
	if s.host.Elsewhere(stateChannel(id)) {
		return nil // who owns it does
	}
	r, err := s.rooms.hold(id)
	if errors.Is(err, errNoRoom) || errors.Is(err, cluster.ErrNotOwner) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	r.mu.Lock()
	var users []string
	for user := range r.pending {
		users = append(users, user)
	}
	r.mu.Unlock()
	slices.Sort(users)
	for _, user := range users {
		err = errors.Join(err, s.settled(r, user))
	}
	return err
}
