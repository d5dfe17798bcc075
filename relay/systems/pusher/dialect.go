package pusher

import (
	"bytes"
	"strings"

	"weir/broker"
	"weir/internal/wire"
)

// Where a channel keeps what it keeps.
const (
	memberGroup = "members"
	cacheGroup  = "cache"
	cacheKey    = "event"
)

// change appends what a change is told as; see hub.Dialect.
func (s *System) change(dst []byte, channel string, c *broker.ChangeView) []byte {
	switch {
	case c.Op == broker.Send, c.Op == broker.Set && c.Group == cacheGroup && c.Key == cacheKey:
		return appendEvent(dst, s.nameOf(channel), c.Data)
	case c.Op == broker.Set && c.Group == memberGroup && c.Created:
		m, ok := parseMember(c.Data)
		if !ok {
			return dst
		}
		inner := append(append([]byte(`{"user_id":`), m.id...), `,"user_info":`...)
		return appendInternal(dst, "pusher_internal:member_added", s.nameOf(channel), append(append(inner, m.info...), '}'))
	case c.Op == broker.Delete && c.Group == memberGroup:
		if id := idOfKey(c.Key); id != nil { // a long one is told by an event
			return appendInternal(dst, "pusher_internal:member_removed", s.nameOf(channel), removedData(id))
		}
	}
	return dst
}

func removedData(id []byte) []byte { return append(append([]byte(`{"user_id":`), id...), '}') }

// lost appends what tells where a presence channel stands whose log was lost.
func (s *System) lost(dst []byte, channel string, state []byte) []byte {
	name := s.nameOf(channel)
	if !kindOf(name).presence {
		return dst
	}
	return append(dst, succeeded(name, parseState(state))...)
}

// appendInternal appends a message whose data is a JSON string that holds JSON.
func appendInternal(dst []byte, event, channel string, data []byte) []byte {
	dst = append(append(append(dst, `{"event":"`...), event...), `","channel":`...)
	dst = append(wire.AppendString(dst, channel), `,"data":`...)
	return append(appendQuoted(dst, data), '}')
}

// message is a message of no channel, whose data is a JSON string that holds JSON.
func message(event string, data []byte) []byte {
	return append(appendQuoted([]byte(`{"event":"`+event+`","data":`), data), '}')
}

// appendQuoted appends JSON as a JSON string.
func appendQuoted(dst, data []byte) []byte { return wire.AppendString(dst, string(data)) }

// field is a member of an object that is looked for.
type field struct {
	name  string
	value *[]byte // is left alone if it is not there
}

// read finds members of an object, and reports whether there are others.
func read(object []byte, fields ...field) (others bool, err error) {
	err = wire.Members(object, func(key string, value []byte) error {
		for _, f := range fields {
			if f.name == key {
				*f.value = value
				return nil
			}
		}
		others = true
		return nil
	})
	return others, err
}

// clientPrefix begins the names of clients' events.
const clientPrefix = "client-"

// appendEvent appends the event that data stands for: {"event","data"} is that event, anything else is the event "message".
func appendEvent(dst []byte, channel string, data []byte) []byte {
	var event, inner, user, at []byte // at of an event that is kept: when it was sent
	others, err := read(data, field{"event", &event}, field{"data", &inner}, field{"user_id", &user}, field{"at", &at})
	client := bytes.HasPrefix(event, []byte(`"`+clientPrefix))
	if err != nil || others || inner == nil || len(event) < 3 || event[0] != '"' || user != nil && !client {
		event, inner = []byte(`"message"`), data
		if len(data) == 0 {
			inner = []byte("null")
		}
		dst = append(append(dst, `{"event":`...), event...)
		dst = wire.AppendString(append(dst, `,"channel":`...), channel)
		return append(appendQuoted(append(dst, `,"data":`...), inner), '}')
	}
	dst = append(append(dst, `{"event":`...), event...)
	dst = append(wire.AppendString(append(dst, `,"channel":`...), channel), `,"data":`...)
	if inner[0] == '"' || client {
		dst = append(dst, inner...)
	} else {
		dst = appendQuoted(dst, inner)
	}
	if user != nil {
		dst = append(append(dst, `,"user_id":`...), user...)
	}
	return append(dst, '}')
}

// nameOf is the name that a channel of weir's has for clients.
func (s *System) nameOf(channel string) string {
	namespace, rest, _ := strings.Cut(channel, ":")
	if name, ok := unescape(rest); ok {
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

// memberItem is the item of a member.
type memberItem struct {
	id, info []byte // JSON
}

// parseMember reads the data of a member's item.
func parseMember(data []byte) (m memberItem, ok bool) {
	m.info = []byte("{}")
	_, err := read(data, field{"user_id", &m.id}, field{"user_info", &m.info})
	_, _, isID := idText(m.id)
	return m, err == nil && isID
}

// appendMember appends the data of a member's item.
func appendMember(dst []byte, m memberItem) []byte {
	dst = append(append(dst, `{"user_id":`...), m.id...)
	return append(append(append(dst, `,"user_info":`...), m.info...), '}')
}

// channelState is what a channel keeps.
type channelState struct {
	members []memberItem
	cached  []byte // the last event; nil: none
}

// parseState reads a snapshot.
func parseState(state []byte) (s channelState) {
	_ = wire.Members(state, func(group string, items []byte) error {
		return wire.Members(items, func(key string, value []byte) error {
			switch {
			case group == memberGroup:
				if m, ok := parseMember(value); ok {
					s.members = append(s.members, m)
				}
			case group == cacheGroup && key == cacheKey:
				s.cached = value
			}
			return nil
		})
	})
	return s
}

// succeeded is the answer to a subscription.
func succeeded(name string, s channelState) []byte {
	inner := []byte("{}")
	if kindOf(name).presence {
		ids, hash := []byte(`{"presence":{"ids":[`), []byte(`],"hash":{`)
		for i, m := range s.members {
			if i > 0 {
				ids, hash = append(ids, ','), append(hash, ',')
			}
			ids = append(ids, m.id...)
			text, _, _ := idText(m.id)
			hash = append(append(wire.AppendString(hash, text), ':'), m.info...)
		}
		inner = append(append(append(ids, hash...), `},"count":`...), itoa(len(s.members))...)
		inner = append(inner, `}}`...)
	}
	return appendInternal(nil, "pusher_internal:subscription_succeeded", name, inner)
}
