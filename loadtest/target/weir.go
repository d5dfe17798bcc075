package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"weir/loadtest/codec"
)

// weir speaks weir's native protocol over WebSocket or Server-Sent Events, and publishes to /v1.
type weir struct {
	at       Endpoint
	events   bool
	whole    bool   // does not ask for the short form of batches
	one, all []byte // heads of a publish of one message, and of NDJSON
}

func newWeir(o Options, subscribe, publish Endpoint) (Target, error) {
	if o.Key == "" {
		o.Key = "dev"
	}
	w := &weir{at: subscribe}
	switch o.Transport {
	case "", "ws":
	case "ws-whole":
		w.whole = true
	case "sse":
		w.events = true
	case "sse-whole":
		w.events, w.whole = true, true
	default:
		return nil, fmt.Errorf("transport %q: expected ws, sse, ws-whole or sse-whole: %w", o.Transport, ErrTarget)
	}
	key := [2]string{"Authorization", "Bearer " + o.Key}
	w.one = post(publish, publish.at("/v1/publish"), key, [2]string{"Content-Type", "application/json"})
	w.all = post(publish, publish.at("/v1/publish?answers=errors"), key, [2]string{"Content-Type", "application/x-ndjson"})
	return w, nil
}

func (w *weir) Traits() Traits {
	t := Traits{Batch: 10_000, Resume: true, Presence: "presence:"}
	if w.events {
		t.Stream = EventStream
	}
	return t
}

func (w *weir) Open(s *Subscriber) codec.Request {
	path := w.at.at("/ws") + w.address(s)
	if w.events {
		path = w.at.at("/sse?")
		for i, c := range s.Channels {
			if i > 0 {
				path += "&"
			}
			path += "channel=" + url.QueryEscape(c.Name)
		}
		if !w.whole {
			path += "&short=1"
		}
	}
	r := w.at.get(path)
	if !w.events && !w.whole {
		r = r.With("Sec-WebSocket-Protocol", "weir")
	}
	if s.Token != "" {
		r = r.With("Authorization", "Bearer "+s.Token)
	}
	if w.events && len(s.Cursor) > 0 {
		r = r.With("Last-Event-ID", string(s.Cursor))
	}
	return r
}

// mostAddress bounds the channels in an address, in bytes: a relay takes 4 KiB unless it is told otherwise.
const mostAddress = 2 << 10

// address is the query that names a WebSocket's channels and positions, as many as fit, as weir.js does it: one request and one response.
func (w *weir) address(s *Subscriber) string {
	s.named = 0
	if w.events || len(s.Channels) == 0 {
		return ""
	}
	known := slices.ContainsFunc(s.Channels, func(f Followed) bool { return f.Known })
	b := make([]byte, 0, 64)
	for i := range s.Channels {
		f, whole := &s.Channels[i], len(b)
		b = append(append(b, "&channel="...), url.QueryEscape(f.Name)...)
		if known {
			b = append(b, "&position="...)
		}
		if f.Known {
			b = strconv.AppendUint(append(append(b, url.QueryEscape(f.Epoch)...), ':'), f.Seq, 10)
		}
		if len(b) > mostAddress {
			b = b[:whole]
			break
		}
		s.named++
	}
	if s.named == 0 {
		return ""
	}
	b[0] = '?'
	return string(b)
}

// Greet waits for the channels of the address, and subscribes to the others in one frame; to all if the relay did not read them.
func (w *weir) Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	if msg == nil {
		s.confirmed, s.welcomed, s.Subscribed = 0, false, !w.events && len(s.Channels) == 0
		return nil, nil
	}
	welcomed := s.welcomed
	if _, err = w.Read(s, msg, seen); err != nil {
		return nil, err
	}
	if !welcomed && s.welcomed && s.named < len(s.Channels) {
		reply = w.Join(s, s.named)
	}
	s.Subscribed = s.confirmed >= len(s.Channels)
	return reply, nil
}

// Joins implements Joiner.
func (w *weir) Joins() bool { return !w.events }

// Join implements Joiner.
func (w *weir) Join(s *Subscriber, from int) (reply []byte) {
	s.Subscribed = false
	reply = append(reply, '[')
	for i, c := range s.Channels[from:] {
		if i > 0 {
			reply = append(reply, ',')
		}
		reply = append(reply, `{"type":"subscribe","id":`...)
		reply = strconv.AppendInt(reply, int64(from+i), 10)
		reply = append(reply, `,"channel":`...)
		reply = appendString(reply, c.Name)
		if c.Known {
			reply = append(reply, `,"position":{"epoch":`...)
			reply = appendString(reply, c.Epoch)
			reply = append(reply, `,"seq":`...)
			reply = strconv.AppendUint(reply, c.Seq, 10)
			reply = append(reply, '}')
		}
		reply = append(reply, '}')
	}
	return append(reply, ']')
}

// errRefused is an answer of the server that ends a test connection: its code and message follow.
var errRefused = errors.New("refused by the target")

// weirMessage is one message, or one element of a batch or of what was missed.
type weirMessage struct {
	Type     string `json:"type"`
	Channel  string `json:"channel"`
	Seq      uint64 `json:"seq"`
	Op       string `json:"op"`
	Key      raw    `json:"key"`
	Data     raw    `json:"data"`
	Position struct {
		Epoch string `json:"epoch"`
		Seq   uint64 `json:"seq"`
	} `json:"position"`
	Recovered raw           `json:"recovered"`
	Code      raw           `json:"code"`
	Message   raw           `json:"message"`
	Channels  raw           `json:"channels"`
	Messages  []weirMessage `json:"messages"`
	Changes   []weirMessage `json:"changes"`
}

var weirMessages scratch[weirMessage]

// Read hands on what a message carries.
func (w *weir) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	m := weirMessages.take()
	if err = decode(msg, m); err != nil {
		return nil, err // m may be half filled, and is left
	}
	err = m.handle(s, seen, -1)
	clear(m.Messages)
	*m = weirMessage{Messages: m.Messages[:0]}
	weirMessages.give(m)
	return nil, err
}

// handle hands on a message, then acts on it. followed is the channel that the list in which it stands names, -1 if
// none. It goes on after an element's error, and returns the first.
func (m *weirMessage) handle(s *Subscriber, seen Sink, followed int) (err error) {
	kind := m.Type
	if kind == "" && followed >= 0 {
		kind = "channel_update"
	}
	if m.Channel != "" {
		followed = s.find(m.Channel)
	}
	if kind == "connected" {
		if s.welcomed = true; m.Channels == nil {
			s.named = 0
		}
	}
	kept := string(m.Recovered) == "true" // nothing was missed
	if kind == "subscribed" && m.Recovered != nil && !kept && followed >= 0 {
		seen.Reset(followed)
	}
	for _, list := range [...][]weirMessage{m.Messages, m.Changes} {
		for i := range list {
			if e := list[i].handle(s, seen, followed); err == nil {
				err = e
			}
		}
	}
	if followed < 0 && kind != "error" && kind != "unsubscribed" {
		return err
	}
	switch kind {
	case "channel_update":
		f := &s.Channels[followed]
		f.Seq = max(f.Seq, m.Seq)
		seen.Delivered(followed, m.Seq, unquoted(m.Key), m.Data, m.Op == "delete")
	case "subscribed":
		f := &s.Channels[followed]
		if kept {
			m.Position.Seq = max(m.Position.Seq, f.Seq)
		}
		f.Epoch, f.Seq, f.Known = strings.Clone(m.Position.Epoch), m.Position.Seq, true
		s.confirmed++
	case "resync":
		f := &s.Channels[followed]
		f.Epoch, f.Seq, f.Known = strings.Clone(m.Position.Epoch), m.Position.Seq, true
		seen.Reset(followed)
	case "error", "unsubscribed":
		if m.Code != nil {
			return fmt.Errorf("%w: %s %s", errRefused, m.Code, m.Message)
		}
	}
	return err
}

// unquoted is what stands between the quotes of a JSON string, escapes as they stand.
func unquoted(text raw) []byte {
	if len(text) < 2 {
		return nil
	}
	return text[1 : len(text)-1]
}

func (w *weir) Publish(dst []byte, msgs []Message) []byte {
	if len(msgs) == 1 {
		return appendRequest(dst, w.one, func(dst []byte) []byte { return w.appendMessage(dst, msgs[0]) })
	}
	return appendRequest(dst, w.all, func(dst []byte) []byte {
		for _, m := range msgs {
			dst = append(w.appendMessage(dst, m), '\n')
		}
		return dst
	})
}

func (w *weir) appendMessage(dst []byte, m Message) []byte {
	dst = append(dst, `{"channel":`...)
	dst = appendString(dst, m.Channel)
	if m.Key != "" {
		dst = append(dst, `,"group":`...)
		dst = appendString(dst, m.Group)
		dst = append(dst, `,"key":`...)
		dst = appendString(dst, m.Key)
		if m.TTL > 0 {
			dst = append(dst, `,"ttl":`...)
			dst = strconv.AppendInt(dst, int64(m.TTL), 10)
		}
	}
	dst = append(dst, `,"data":`...)
	dst = append(dst, m.Data...)
	return append(dst, '}')
}

// RefusedOf implements Refuser: what is wrong with a line names it, from 1.
func (w *weir) RefusedOf(status int, body []byte, n int) (list []int) {
	if status != 200 || n == 1 {
		return nil
	}
	for line := range bytes.Lines(body) {
		var fault struct{ Line int }
		if bytes.Contains(line, []byte(`"line":`)) && json.Unmarshal(line, &fault) == nil && fault.Line >= 1 && fault.Line <= n {
			list = append(list, fault.Line-1)
		}
	}
	return list
}

// Refused counts the answers without a position, or what a brief answer says.
func (w *weir) Refused(status int, body []byte, n int) int {
	if status != 200 {
		return n
	}
	if i := bytes.LastIndex(body, []byte(`{"accepted":`)); i >= 0 {
		var end struct{ Accepted int }
		if json.Unmarshal(body[i:], &end) == nil {
			return max(n-end.Accepted, 0)
		}
	}
	return max(n-bytes.Count(body, []byte(`"position"`)), 0)
}
