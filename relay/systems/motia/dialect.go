package motia

import (
	"weir/broker"
	"weir/internal/wire"
	"weir/relay/systems/internal/escape"
)

// itemGroup is the group of a channel's items, which is the default: items of other groups are not told.
const itemGroup = "items"

// appendHead appends a message up to its event. item is false for one that is for a whole group.
func appendHead(dst []byte, at int64, g group, id string, item bool) []byte {
	dst = appendTime(append(dst, `{"type":"stream","timestamp":`...), at)
	dst = wire.AppendString(append(dst, `,"streamName":`...), g.stream)
	dst = wire.AppendString(append(dst, `,"groupId":`...), g.id)
	if dst = append(dst, `,"id":`...); item {
		dst = wire.AppendString(dst, id)
	} else {
		dst = append(dst, "null"...)
	}
	return append(dst, `,"event":`...)
}

// change appends what a change is told as; see hub.Dialect.
func (s *System) change(dst []byte, channel string, c *broker.ChangeView) []byte {
	g, ok := groupOf(channel)
	if !ok || c.Key != "" && c.Group != itemGroup {
		return dst
	}
	id := escape.Undo(c.Key)
	dst = appendHead(dst, s.clock.next(), g, id, c.Key != "")
	switch {
	case c.Op == broker.Send:
		dst = appendEvent(dst, c.Data)
	case c.Op == broker.Delete:
		dst = wire.AppendString(append(dst, `{"type":"delete","data":{"id":`...), id)
		dst = append(dst, "}}"...)
	default:
		kind := `{"type":"update","data":`
		if c.Created {
			kind = `{"type":"create","data":`
		}
		dst = append(appendItem(append(dst, kind...), id, c.Data), '}')
	}
	return append(dst, '}')
}

// lost tells the followers of a group what its items are, after its log was lost, and has the others told on their own.
func (s *System) lost(dst []byte, channel string, state []byte) []byte {
	g, ok := groupOf(channel)
	if !ok {
		return dst
	}
	s.syncItems(channel)
	return appendGroupSync(dst, s.clock.next(), g, state)
}

// appendEvent appends an event: {"type","data"} is that, anything else is the data of a "message".
func appendEvent(dst, data []byte) []byte {
	typed, other := false, false
	err := wire.Members(data, func(key string, value []byte) error {
		switch key {
		case "type":
			typed = value[0] == '"'
		case "data":
		default:
			other = true
		}
		return nil
	})
	if len(data) == 0 {
		data = []byte("null")
	}
	if err == nil && typed && !other {
		return append(append(append(dst, `{"type":"event","event":`...), data...), '}')
	}
	return append(append(append(dst, `{"type":"event","event":{"type":"message","data":`...), data...), "}}"...)
}

// appendItem appends the data of an item with its id in it, since that is how clients find it: an object gets the member "id", anything
// else is the member "value" of one.
func appendItem(dst []byte, id string, data []byte) []byte {
	begin := len(dst)
	dst = append(dst, '{')
	named := false
	err := wire.Members(data, func(key string, value []byte) error {
		if key == "id" {
			named = true
			value = wire.AppendString(nil, id)
		}
		if len(dst) > begin+1 {
			dst = append(dst, ',')
		}
		dst = append(append(wire.AppendString(dst, key), ':'), value...)
		return nil
	})
	if err != nil {
		dst = wire.AppendString(append(dst[:begin], `{"id":`...), id)
		if len(data) == 0 {
			data = []byte("null")
		}
		return append(append(append(dst, `,"value":`...), data...), '}')
	}
	if !named {
		if len(dst) > begin+1 {
			dst = append(dst, ',')
		}
		dst = wire.AppendString(append(dst, `"id":`...), id)
	}
	return append(dst, '}')
}

// eachItem calls f with the items in a snapshot, in the order in which they were created.
func eachItem(state []byte, f func(id string, data []byte)) {
	_ = wire.Members(state, func(name string, items []byte) error {
		if name != itemGroup {
			return nil
		}
		return wire.Members(items, func(key string, data []byte) error {
			f(escape.Undo(key), data)
			return nil
		})
	})
}

// appendGroupSync appends what the items of a group are.
func appendGroupSync(dst []byte, at int64, g group, state []byte) []byte {
	dst = append(appendHead(dst, at, g, "", false), `{"type":"sync","data":[`...)
	first := true
	eachItem(state, func(id string, data []byte) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendItem(dst, id, data)
	})
	return append(dst, "]}}"...)
}

// appendItemSync appends what an item is.
func appendItemSync(dst []byte, at int64, g group, id string, state []byte) []byte {
	dst = append(appendHead(dst, at, g, id, true), `{"type":"sync","data":`...)
	begin := len(dst)
	eachItem(state, func(other string, data []byte) {
		if other == id {
			dst = appendItem(dst[:begin], id, data)
		}
	})
	if len(dst) == begin {
		dst = append(dst, "null"...)
	}
	return append(dst, "}}"...)
}

// appendRefusal tells a client that it has not joined.
func appendRefusal(dst []byte, at int64, g group, id, code, text string) []byte {
	dst = appendHead(dst, at, g, id, id != "")
	dst = wire.AppendString(append(dst, `{"type":"event","event":{"type":"error","data":{"code":`...), code)
	return append(wire.AppendString(append(dst, `,"message":`...), text), "}}}}"...)
}
