package relay

import "weir/relay/hub"

// On calls f with every event whose topic matches the pattern: a topic, "chat.*" for all that begin so, or
// "*". It runs where the event is emitted, before anybody else hears of it: an error refuses the event and
// is what its emitter is told. It must be quick and not block. At start.
//
// A system event of one's own is told to everybody with Emit, not by calling others.
func (c *Core) On(pattern string, f func(e *hub.Event) error) {
	c.relay.hub.Topics.Handle(pattern, false, f)
}

// OnClient is On for a topic that any client with a token may emit; f decides which of those events it
// accepts. Other topics may be emitted by clients whose token allows publishing on "event:{topic}".
func (c *Core) OnClient(pattern string, f func(e *hub.Event) error) {
	c.relay.hub.Topics.Handle(pattern, true, f)
}

// Emit tells an event. Errors: of handlers, and those of Publish.
func (c *Core) Emit(e *hub.Event) error { return c.relay.hub.Emit(e) }
