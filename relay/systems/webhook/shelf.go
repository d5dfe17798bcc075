package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"weir/broker"
	"weir/internal/wire"
)

// Namespace is where the events that wait and those that were given up are kept: the former in
// "webhook:queue:{name}", the latter in "webhook:dead:{name}", as items of the group "events". With
// "durable: true" they outlive a restart.
const Namespace = "webhook"

const group = "events"

// deadEvents is how many given up events of an endpoint are kept; the oldest go first.
const deadEvents = 1000

// shelf keeps the events of one endpoint in its channels. They are what is true after a restart; what is
// in memory only says in which order the dead ones came.
type shelf struct {
	// Set once by newShelf.
	queue, dead string         // channels
	broker      *broker.Broker // not Core.Publish: what becomes of an event is noted also while clients are behind

	// Guarded by mu, which is never held while publishing.
	mu  sync.Mutex
	ids []string // of the dead, oldest first
}

func newShelf(name string, b *broker.Broker) *shelf {
	return &shelf{queue: Namespace + ":queue:" + name, dead: Namespace + ":dead:" + name, broker: b}
}

// keep stores an event that is accepted. Wait, unless it is nil, answers when it is safe.
func (s *shelf) keep(e *event) (wait func() error, err error) {
	receipt, err := s.broker.Submit(s.queue, &broker.Publication{Op: broker.Set, Group: group, Key: e.id, Data: e.append(nil, "")})
	if err != nil || receipt.Wait == nil {
		return nil, err
	}
	return func() error {
		_, err := receipt.Wait()
		return err
	}, nil
}

// What happens to an event later is not waited for: the journal keeps the order, so that after a crash an event may
// come twice, but is never missing.

// drop forgets one that is dealt with.
func (s *shelf) drop(id string) error { return s.remove(s.queue, id) }

func (s *shelf) remove(channel, id string) error {
	_, err := s.broker.Publish(channel, &broker.Publication{Op: broker.Delete, Group: group, Key: id, Ack: broker.AckMemory})
	return err
}

// bury stores an event that is given up. It makes room by forgetting the oldest of them.
func (s *shelf) bury(e *event, reason string) error {
	p := &broker.Publication{Op: broker.Set, Group: group, Key: e.id, Data: e.append(nil, reason), Ack: broker.AckMemory}
	s.mu.Lock()
	s.ids = append(s.ids, e.id)
	over := len(s.ids) - deadEvents
	s.mu.Unlock()
	for range over {
		s.forget()
	}
	for {
		_, err := s.broker.Publish(s.dead, p)
		if !errors.Is(err, broker.ErrTooManyItems) && !errors.Is(err, broker.ErrStateTooLarge) || !s.forget() {
			return err
		}
	}
}

// forget removes the oldest of the dead; false if there is none but the newest.
func (s *shelf) forget() bool {
	s.mu.Lock()
	if len(s.ids) < 2 {
		s.mu.Unlock()
		return false
	}
	oldest := s.ids[0]
	s.ids = s.ids[1:]
	s.mu.Unlock()
	return s.exhume(oldest) == nil
}

// exhume removes a dead event from its channel.
func (s *shelf) exhume(id string) error { return s.remove(s.dead, id) }

// waiting reads the events that waited when the process before ended, in the order in which they came about.
func (s *shelf) waiting() ([]*event, error) { return s.list(s.queue) }

// buried reads the dead events, in the order in which they came about. They were given up in another, where many of
// them were at once.
func (s *shelf) buried() ([]*event, error) { return s.list(s.dead) }

func (s *shelf) list(channel string) ([]*event, error) {
	var list []*event
	err := s.read(channel, func(id string, r *record) { list = append(list, r.event(id)) })
	slices.SortStableFunc(list, func(a, b *event) int { return cmp.Compare(a.id, b.id) }) // ids sort by time
	return list, err
}

// restore notes the order of the dead events that the process before has left.
func (s *shelf) restore() error {
	list, err := s.buried()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range list {
		s.ids = append(s.ids, e.id)
	}
	return err
}

// revive removes a dead event that waits again.
func (s *shelf) revive(id string) error {
	s.mu.Lock()
	if i := slices.Index(s.ids, id); i >= 0 {
		s.ids = slices.Delete(s.ids, i, i+1)
	}
	s.mu.Unlock()
	return s.exhume(id)
}

// deadCount is how many dead events there are.
func (s *shelf) deadCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// read calls f with the records of a channel.
func (s *shelf) read(channel string, f func(id string, r *record)) error {
	reply, ok := s.broker.Read(channel, []string{group})
	if !ok {
		return nil
	}
	err := wire.Members(reply.State, func(_ string, items []byte) error {
		return wire.Members(items, func(id string, data []byte) error {
			var r record
			if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("event %s: %w", id, err)
			}
			f(string([]byte(id)), &r)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", channel, err)
	}
	return nil
}
