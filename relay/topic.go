package relay

import (
	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
)

// Event is something that happened, told under the name of a topic to whoever wants to know: systems inside
// (Core.On), backends outside (their workers follow the channel "event:{topic}").
type Event struct {
	Topic      string
	Key        string         // events with the same key stay in order, whatever is done with them; "" for none
	Data       []byte         // JSON on one line; valid while handlers run
	User       string         // who caused it; "" for a backend and the relay itself
	Connection string         // of the client that emitted it; "" if no client did
	Identity   *auth.Identity // of that client; nil if no client did

	// Silent is set by a handler that has dealt with the event: nobody else hears of it.
	Silent bool
}

// topics is who handles which topics. It is filled at start and read without a lock.
type topics struct {
	handlers []handler
}

// handler is a system's part in a topic.
type handler struct {
	pattern string
	clients bool
	handle  func(e *Event) error
}

// On calls f with every event whose topic matches the pattern: a topic, "chat.*" for all that begin so, or
// "*". It runs where the event is emitted, before anybody else hears of it: an error refuses the event and
// is what its emitter is told. It must be quick and not block. At start.
//
// A system event of one's own is told to everybody with Emit, not by calling others.
func (c *Core) On(pattern string, f func(e *Event) error) {
	t := &c.relay.topics
	t.handlers = append(t.handlers, handler{pattern, false, f})
}

// OnClient is On for a topic that any client with a token may emit; f decides which of those events it
// accepts. Other topics may be emitted by clients whose token allows publishing on "event:{topic}".
func (c *Core) OnClient(pattern string, f func(e *Event) error) {
	t := &c.relay.topics
	t.handlers = append(t.handlers, handler{pattern, true, f})
}

// Emit tells an event. Errors: of handlers, and those of Publish.
func (c *Core) Emit(e *Event) error { return c.relay.emit(e) }

// open says whether a topic is a system's that any client may emit.
func (t *topics) open(topic string) bool {
	for i := range t.handlers {
		if h := &t.handlers[i]; h.clients && config.MatchTopic(h.pattern, topic) {
			return true
		}
	}
	return false
}

// emit hands an event to the systems, and then to whoever follows its topic.
func (r *Relay) emit(e *Event) error {
	channel := eventNamespace + ":" + e.Topic
	if e.Topic == "" || !wire.ValidChannel(channel) || !wire.ValidName(e.Topic) {
		return problem.BadField.With("topic must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	}
	ns := r.policies.of(channel)
	if len(e.Data) > ns.message {
		return problem.TooLarge
	}
	if err := r.admit(broker.Send, 0); err != nil {
		return err
	}
	for i := range r.topics.handlers {
		if h := &r.topics.handlers[i]; config.MatchTopic(h.pattern, e.Topic) {
			if err := h.handle(e); err != nil || e.Silent {
				return err
			}
		}
	}
	b := make([]byte, 0, len(e.Data)+len(e.Topic)+len(e.User)+64)
	b = wire.AppendString(append(b, `{"topic":`...), e.Topic)
	b = append(b, `,"data":`...)
	if e.Connection != "" {
		b = wire.AppendString(append(b, `{"userId":`...), e.User)
		b = append(append(append(b, `,"payload":`...), e.Data...), '}')
	} else {
		b = append(b, e.Data...)
	}
	if _, err := r.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: append(b, '}')}); err != nil {
		return err
	}
	r.metrics.Events.Inc()
	return nil
}
