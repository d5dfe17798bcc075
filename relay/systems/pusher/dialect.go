package pusher

import (
	"strings"

	"weir/broker"
	"weir/relay/systems/pusher/protocol"
)

// change appends what a change is told as; see hub.Dialect.
func (s *System) change(dst []byte, channel string, c *broker.ChangeView) []byte {
	switch {
	case c.Op == broker.Send, c.Op == broker.Set && c.Group == protocol.CacheGroup && c.Key == protocol.CacheKey:
		return protocol.AppendEvent(dst, s.nameOf(channel), c.Data)
	case c.Op == broker.Set && c.Group == protocol.MemberGroup && c.Created:
		m, ok := protocol.ParseMember(c.Data)
		if !ok {
			return dst
		}
		inner := append(append([]byte(`{"user_id":`), m.ID...), `,"user_info":`...)
		return protocol.AppendInternal(dst, "pusher_internal:member_added", s.nameOf(channel), append(append(inner, m.Info...), '}'))
	case c.Op == broker.Delete && c.Group == protocol.MemberGroup:
		if id := protocol.IDOfKey(c.Key); id != nil { // a long one is told by an event
			return protocol.AppendInternal(dst, "pusher_internal:member_removed", s.nameOf(channel), protocol.RemovedData(id))
		}
	}
	return dst
}

// lost appends what tells where a presence channel stands whose log was lost.
func (s *System) lost(dst []byte, channel string, state []byte) []byte {
	name := s.nameOf(channel)
	if !protocol.KindOf(name).Presence {
		return dst
	}
	return append(dst, protocol.Succeeded(name, protocol.ParseState(state))...)
}

// nameOf is the name that a channel of weir's has for clients.
func (s *System) nameOf(channel string) string {
	namespace, rest, _ := strings.Cut(channel, ":")
	if name, ok := protocol.Unescape(rest); ok {
		return name
	}
	if a := (*s.byNamespace.Load())[namespace]; a != nil {
		a.mu.RLock()
		defer a.mu.RUnlock()
		if ch := a.channels[channel]; ch != nil {
			return ch.name
		}
	}
	return rest
}
