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
// order of the dead letters. In a cluster, where a channel may be another node's, each node has in memory what it is to deliver itself.
type store struct {
	// Set once by newStore.
	queue, dead string         // channels
	broker      *broker.Broker // not Host.Publish: what happens to an event is stored also while clients are behind. nil in a cluster

	// Guarded by mu, which is never held while publishing.
	mu      sync.Mutex
	ids     []string          // of the dead letters, oldest first
	letters map[string][]byte // those, as records, in a cluster
	bytes   int               // of letters
}

// maxLetters bounds the dead letters that a node of a cluster keeps, in bytes.
const maxLetters = 16 << 20

func newStore(name string, b *broker.Broker) *store {
	s := &store{queue: Namespace + ":queue:" + name, dead: Namespace + ":dead:" + name, broker: b}
	if b == nil {
		s.letters = make(map[string][]byte)
	}
	return s
}

// add stores an event that is to be delivered. Wait, unless it is nil, returns when it is on disk.
func (s *store) add(e *event) (wait func() error, err error) {
	if s.broker == nil { // the queue has it
		return nil, nil
	}
	receipt, err := s.broker.Submit(s.queue, &broker.Publication{Op: broker.Set, Group: group, Key: e.id, Data: e.record("")})
	if err != nil || receipt.Settled() {
		return nil, err
	}
	return func() error {
		_, err := receipt.Settle()
		return err
	}, nil
}

// What happens to an event later is not waited for: the journal keeps the order, so that after a crash an event may come
// twice, but is never missing.

// remove removes an event that was delivered or given up.
func (s *store) remove(id string) error { return s.delete(s.queue, id) }

func (s *store) delete(channel, id string) error {
	if s.broker == nil {
		if channel == s.dead {
			s.mu.Lock()
			s.bytes -= len(s.letters[id])
			delete(s.letters, id)
			s.mu.Unlock()
		}
		return nil
	}
	_, err := s.broker.Publish(channel, &broker.Publication{Op: broker.Delete, Group: group, Key: id, Ack: broker.AckMemory})
	return err
}

// bury stores a dead letter. It removes the oldest ones to make room.
func (s *store) bury(e *event, reason string) error {
	p := &broker.Publication{Op: broker.Set, Group: group, Key: e.id, Data: e.record(reason), Ack: broker.AckMemory}
	s.mu.Lock()
	s.ids = append(s.ids, e.id)
	over := len(s.ids) - maxDead
	if s.broker == nil {
		s.letters[e.id] = p.Data
		s.bytes += len(p.Data)
	}
	s.mu.Unlock()
	for range over {
		s.removeOldest()
	}
	if s.broker == nil {
		for s.large() && s.removeOldest() {
		}
		return nil
	}
	for {
		_, err := s.broker.Publish(s.dead, p)
		if !errors.Is(err, broker.ErrTooManyItems) && !errors.Is(err, broker.ErrStateTooLarge) || !s.removeOldest() {
			return err
		}
	}
}

// large reports whether a node of a cluster keeps too much.
func (s *store) large() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes > maxLetters
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
	if s.broker == nil {
		return s.kept(channel)
	}
	reply, ok := s.broker.Read(channel, []string{group})
	if !ok {
		return nil, nil
	}
	err = wire.Members(reply.State, func(_ string, items []byte) error {
		return wire.Members(items, func(id string, data []byte) error {
			e, err := eventOf(strings.Clone(id), data)
			list = append(list, e)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", channel, err)
	}
	sortEvents(list)
	return list, nil
}

// kept is events, in a cluster.
func (s *store) kept(channel string) (list []*event, err error) {
	if channel != s.dead {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, data := range s.letters {
		e, err := eventOf(id, data)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	sortEvents(list)
	return list, nil
}

func sortEvents(list []*event) {
	slices.SortFunc(list, func(a, b *event) int { return cmp.Compare(a.id, b.id) }) // ids sort by time
}

// eventOf is the event of a record.
func eventOf(id string, data []byte) (*event, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	e := r.event(id)
	e.attempts, e.problem, e.reason = r.Attempts, r.Problem, r.Reason
	return e, nil
}
