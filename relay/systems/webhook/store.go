package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"weir/broker"
	"weir/internal/wire"
)

// Namespace is where events are stored: those that wait in "webhook:queue:{name}", dead letters in
// "webhook:dead:{name}", as items of the group "events". With "durable: true" they outlive a restart.
const Namespace = "webhook"

const group = "events"

// maxDead bounds the dead letters of an endpoint; the oldest go first.
const maxDead = 1000

// store keeps the events of one endpoint in its channels, which are what is true after a restart. In memory is only the
// order of the dead letters.
type store struct {
	// Set once by newStore.
	queue, dead string         // channels
	broker      *broker.Broker // not Host.Publish: what happens to an event is stored also while clients are behind

	// Guarded by mu, which is never held while publishing.
	mu  sync.Mutex
	ids []string // of the dead letters, oldest first
}

func newStore(name string, b *broker.Broker) *store {
	return &store{queue: Namespace + ":queue:" + name, dead: Namespace + ":dead:" + name, broker: b}
}

// add stores an event that is to be delivered. Wait, unless it is nil, returns when it is on disk.
func (s *store) add(e *event) (wait func() error, err error) {
	receipt, err := s.broker.Submit(s.queue, &broker.Publication{Op: broker.Set, Group: group, Key: e.id, Data: e.append(nil, "")})
	if err != nil || receipt.Wait == nil {
		return nil, err
	}
	return func() error {
		_, err := receipt.Wait()
		return err
	}, nil
}

// What happens to an event later is not waited for: the journal keeps the order, so that after a crash an event may come
// twice, but is never missing.

// remove removes an event that was delivered or given up.
func (s *store) remove(id string) error { return s.delete(s.queue, id) }

func (s *store) delete(channel, id string) error {
	_, err := s.broker.Publish(channel, &broker.Publication{Op: broker.Delete, Group: group, Key: id, Ack: broker.AckMemory})
	return err
}

// bury stores a dead letter. It removes the oldest ones to make room.
func (s *store) bury(e *event, reason string) error {
	p := &broker.Publication{Op: broker.Set, Group: group, Key: e.id, Data: e.append(nil, reason), Ack: broker.AckMemory}
	s.mu.Lock()
	s.ids = append(s.ids, e.id)
	over := len(s.ids) - maxDead
	s.mu.Unlock()
	for range over {
		s.removeOldest()
	}
	for {
		_, err := s.broker.Publish(s.dead, p)
		if !errors.Is(err, broker.ErrTooManyItems) && !errors.Is(err, broker.ErrStateTooLarge) || !s.removeOldest() {
			return err
		}
	}
}

// removeOldest removes the oldest dead letter. It returns false if there is none but the newest.
func (s *store) removeOldest() bool {
	s.mu.Lock()
	if len(s.ids) < 2 {
		s.mu.Unlock()
		return false
	}
	oldest := s.ids[0]
	s.ids = s.ids[1:]
	s.mu.Unlock()
	return s.delete(s.dead, oldest) == nil
}

// removeDead removes a dead letter that is sent again.
func (s *store) removeDead(id string) error {
	s.mu.Lock()
	if i := slices.Index(s.ids, id); i >= 0 {
		s.ids = slices.Delete(s.ids, i, i+1)
	}
	s.mu.Unlock()
	return s.delete(s.dead, id)
}

// restore notes the order of the dead letters that the process before has left.
func (s *store) restore() error {
	list, err := s.events(s.dead)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range list {
		s.ids = append(s.ids, e.id)
	}
	return err
}

// deadCount is how many dead letters there are.
func (s *store) deadCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// events reads a channel, in the order in which the events happened. Dead letters were given up in another one.
func (s *store) events(channel string) (list []*event, err error) {
	reply, ok := s.broker.Read(channel, []string{group})
	if !ok {
		return nil, nil
	}
	err = wire.Members(reply.State, func(_ string, items []byte) error {
		return wire.Members(items, func(id string, data []byte) error {
			var r record
			if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("event %s: %w", id, err)
			}
			list = append(list, r.event(strings.Clone(id)))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", channel, err)
	}
	slices.SortFunc(list, func(a, b *event) int { return cmp.Compare(a.id, b.id) }) // ids sort by time
	return list, nil
}
