package target

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"

	"weir/loadtest/check"
	"weir/loadtest/protocol"
)

// greetingID is the {{id}} of what is no message of the test, such as its first, which only tries the way.
const greetingID = "hello"

// deliver hands on a message that was published.
func (t *custom) deliver(s *Subscriber, msg []byte, seen Sink) {
	m := &t.c.Message
	followed := -1
	if m.Channel != nil {
		raw, ok := m.Channel.Get(msg)
		if !ok {
			return
		}
		name, _ := protocol.Text(raw)
		for i, topic := range s.session.topics {
			if topic == string(name) {
				followed = i
			}
		}
		if followed < 0 {
			return
		}
	}
	data := bytes.TrimSpace(msg)
	if m.ID != nil {
		var ok bool
		if data, ok = t.identified(s.session, msg); !ok {
			return
		}
	} else if m.Data != nil {
		raw, ok := m.Data.Get(msg)
		if !ok && m.Everything() {
			return // another kind of message
		}
		data = raw
		for range 2 { // JSON in a text, or in a text in a text
			data, _ = protocol.Text(data)
		}
	}
	if followed < 0 {
		followed = s.of(data)
	}
	seen.Delivered(followed, 0, nil, data, false)
}

// of is the index of the channel that a payload says it was published to; 0 if it does not say it.
func (s *Subscriber) of(data []byte) int {
	if len(s.Channels) < 2 {
		return 0
	}
	if stamp, err := check.Parse(data); err == nil {
		for i := range s.Channels {
			if s.Channels[i].Number == int(stamp.Channel) {
				return i
			}
		}
	}
	return 0
}

// identified is the payload that belongs to an id. ok is false for the test's own greeting, and for messages without an id.
func (t *custom) identified(n *session, msg []byte) (data []byte, ok bool) {
	m := &t.c.Message
	raw, ok := m.ID.Get(msg)
	if !ok {
		return nil, false
	}
	id, _ := protocol.Text(raw)
	if string(id) == greetingID {
		return nil, false
	}
	stamp, ok := parseID(string(id))
	if ok && m.Stamp != nil {
		raw, _ := m.Stamp.Get(msg)
		text, _ := protocol.Text(raw)
		var err error
		stamp.Due, err = strconv.ParseInt(string(text), 10, 64)
		ok = err == nil
	}
	if !ok {
		return raw, true // damaged, which is for the checker to say
	}
	n.stamp = stamp.Append(n.stamp[:0], check.MinSize)
	return n.stamp, true
}

// parseID is the opposite of messageID.
func parseID(id string) (s check.Stamp, ok bool) {
	parts := strings.Split(id, "-")
	if len(parts) != 4 {
		return s, false
	}
	channel, err1 := strconv.ParseUint(parts[0], 10, 32)
	source, err2 := strconv.ParseUint(parts[1], 10, 32)
	number, err3 := strconv.ParseUint(parts[2], 10, 64)
	due, err4 := strconv.ParseInt(parts[3], 36, 64)
	s = check.Stamp{Channel: uint32(channel), Source: uint32(source), Number: number, Due: due}
	return s, err1 == nil && err2 == nil && err3 == nil && err4 == nil
}

// values are those of one message that is published, and its row.
func (t *custom) values(m Message) (protocol.Values, map[string]string) {
	n := int(t.sent.Add(1) - 1)
	v := protocol.Values{Channel: m.Channel, Topic: t.topic(m.Channel), Key: t.key, Payload: m.Data, Number: n, Ref: t.refs.Add(1), ID: greetingID}
	if stamp, err := check.Parse(m.Data); err == nil {
		v.ID, v.Stamp = messageID(stamp), stamp.Due
	}
	return v, t.c.Row(n)
}

func (t *custom) Publish(dst []byte, msgs []Message) []byte {
	p := &t.c.Publish
	if p.Send != nil {
		for _, m := range msgs {
			v, row := t.values(m)
			dst = t.frame(dst, p.Send.Append(nil, &v, row))
		}
		return dst
	}
	v, row := t.values(msgs[0])
	if p.Item != nil {
		for i, m := range msgs {
			if i > 0 {
				v.Items = append(v.Items, p.Between...)
				v, row = t.next(v, m)
			}
			v.Items = p.Item.Append(v.Items, &v, row)
		}
	}
	return appendRequest(dst, t.head(&v, row), func(dst []byte) []byte { return p.Body.Append(dst, &v, row) })
}

// next are the values of another message in the same request.
func (t *custom) next(before protocol.Values, m Message) (protocol.Values, map[string]string) {
	v, row := t.values(m)
	v.Items = before.Items
	return v, row
}

// head is the head of a request, up to its length.
func (t *custom) head(v *protocol.Values, row map[string]string) []byte {
	p := &t.c.Publish
	var headers [][2]string
	typed := false
	for _, h := range p.Headers {
		if !h.Value.Empty(v, row) {
			headers = append(headers, [2]string{h.Name, string(h.Value.Append(nil, v, row))})
			typed = typed || strings.EqualFold(h.Name, "Content-Type")
		}
	}
	if body := strings.TrimSpace(p.Body.Text()); !typed && (strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[")) {
		headers = append(headers, [2]string{"Content-Type", "application/json"})
	}
	head := post(t.to, string(p.Path.Append(nil, v, row)), headers...)
	if method := t.c.Protocol.Publish.Method; method != "" {
		head = append([]byte(method), head[len("POST"):]...)
	}
	return head
}

// unescape puts the braces of variables back into a path that was read as an address.
func unescape(path string) string {
	for _, c := range []string{"{", "}", "|"} {
		path = strings.ReplaceAll(path, url.QueryEscape(c), c)
	}
	return path
}
