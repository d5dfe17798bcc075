package hub

import (
	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
)

// Event is something that happened, told under the name of a topic to those who want to know: systems inside
// (Host.On), backends outside (their workers follow the channel "event:{topic}").
type Event struct {
	Topic      string
	Key        string         // events with the same key stay in order, whatever is done with them; "" for none
	Data       []byte         // JSON on one line; valid while handlers run
	User       string         // who caused it; "" for a backend and the relay itself
	Trace      string         // traceparent of the trace that it belongs to; "" for none
	Connection string         // of the client that emitted it; "" if no client did
	Identity   *auth.Identity // of that client; nil if no client did

	// Silent is set by a handler that has dealt with the event: nobody else hears of it.
	Silent bool
}

// Topics is who handles which topics. It is filled at start and read without a lock.
type Topics struct {
	handlers []handler
}

// handler is a system's part in a topic.
type handler struct {
	pattern string
	clients bool
	handle  func(e *Event) error
}

// Handle calls f with every event whose topic matches a pattern; with clients, any client with a token may emit it. At
// start.
func (t *Topics) Handle(pattern string, clients bool, f func(e *Event) error) {
	t.handlers = append(t.handlers, handler{pattern, clients, f})
}

// Open reports whether a topic is a system's that any client may emit.
func (t *Topics) Open(topic string) bool {
	for i := range t.handlers {
		if h := &t.handlers[i]; h.clients && config.MatchTopic(h.pattern, topic) {
			return true
		}
	}
	return false
}

// Emit hands an event to the systems, and then to the clients that follow its topic.
func (h *Hub) Emit(e *Event) error {
	channel := EventNamespace + ":" + e.Topic
	if e.Topic == "" || !wire.ValidChannel(channel) || !wire.ValidName(e.Topic) {
		return problem.BadField.With("topic must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	}
	ns := h.Namespaces.Of(channel)
	if len(e.Data) > ns.message {
		return problem.TooLarge
	}
	if err := h.admit(broker.Send, 0); err != nil {
		return err
	}
	for i := range h.Topics.handlers {
		if h := &h.Topics.handlers[i]; config.MatchTopic(h.pattern, e.Topic) {
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
	if _, err := h.Broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: append(b, '}')}); err != nil {
		return err
	}
	h.Counters.Events.Inc()
	return nil
}

// EventNamespace holds the events for backends: what is emitted on a topic is sent on the channel
// "event:{topic}", which a backend's worker follows with a token that names it.
const EventNamespace = "event"
