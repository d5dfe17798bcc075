package chat

import (
	"errors"
	"log/slog"

	"weir/broker"
	"weir/relay/hub"
)

// change is what a request does to a room: what follows when the room's lock has been let go.
type change struct {
	receipts []broker.Receipt
	events   []event
	then     func()        // called without the lock, before anything is waited for; nil: nothing
	before   chan struct{} // closed when the events of earlier changes have been emitted; nil if there are none
	emitted  chan struct{} // closed when the events of this one have been emitted, or will not be
}

// event is one for backends.
type event struct {
	topic, user string
	data        []byte
}

// wait makes the change wait for a receipt. It returns the error of what has the receipt.
func (c *change) wait(t broker.Receipt, err error) error {
	if err == nil {
		c.receipts = append(c.receipts, t)
	}
	return err
}

// emit adds an event.
func (c *change) emit(topic, user string, data []byte) {
	c.events = append(c.events, event{topic, user, data})
}

// change calls f with the room's lock. Without the lock it waits then until what f has written is stored, and emits the
// events in the order of the changes. Those of a change that is not stored are not emitted.
func (s *System) change(r *room, f func(c *change) error) error {
	c := change{emitted: make(chan struct{})}
	if err := r.apply(&c, f); err != nil {
		return err
	}
	defer close(c.emitted)
	if c.then != nil {
		c.then()
	}
	var err error
	for _, t := range c.receipts {
		if t.Wait != nil {
			_, failed := t.Wait()
			err = errors.Join(err, failed)
		}
	}
	if c.before != nil {
		<-c.before
	}
	if err != nil {
		return err
	}
	for _, e := range c.events {
		// What has happened is not undone because a backend does not get the event.
		if failed := s.core.Emit(&hub.Event{Topic: e.topic, Key: liveChannel(r.id), Data: e.data, User: e.user}); failed != nil {
			s.core.Log().Warn("event was not emitted", slog.String("topic", e.topic), slog.String("error", failed.Error()))
		}
	}
	return nil
}

// apply calls f with the lock, and gives the change its place among the others.
func (r *room) apply(c *change, f func(c *change) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := f(c); err != nil {
		return err
	}
	c.before, r.emitted = r.emitted, c.emitted
	return nil
}
