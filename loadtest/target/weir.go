package target

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"

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
	w.all = post(publish, publish.at("/v1/publish"), key, [2]string{"Content-Type", "application/x-ndjson"})
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
	path := w.at.at("/ws")
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

// Greet subscribes to everything in one frame as soon as the connection is open.
func (w *weir) Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	if msg != nil {
		if _, err = w.Read(s, msg, seen); err == nil {
			s.Subscribed = s.Confirmed >= len(s.Channels)
		}
		return nil, err
	}
	s.Confirmed, s.Subscribed = 0, false
	if w.events {
		return nil, nil
	}
	reply = append(reply, '[')
	for i, c := range s.Channels {
		if i > 0 {
			reply = append(reply, ',')
		}
		reply = append(reply, `{"type":"subscribe","id":`...)
		reply = strconv.AppendInt(reply, int64(i), 10)
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
	return append(reply, ']'), nil
}

// ErrRefused is an answer of the server that ends a test connection: its code and message follow.
var ErrRefused = errors.New("refused by the target")

// Read walks a message once; what it carries is handed on as it is met, since the type, the channel
// and the position stand before the lists they apply to.
func (w *weir) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	c := cursor{b: msg}
	m := weirMessage{s: s, seen: seen, followed: -1}
	m.walk(&c)
	if !c.end() {
		return nil, errShape(msg)
	}
	return nil, m.err
}

// weirMessage is what has been read of one message, or of one element of a batch.
type weirMessage struct {
	s        *Subscriber
	seen     Sink
	kind     []byte
	followed int
	other    bool // names a channel that is not followed
	listed   bool // an element of a list whose head names the channel
	seq      uint64
	epoch    []byte
	at       uint64
	key      []byte
	data     []byte
	deleted  bool
	kept     bool // recovered: nothing was missed
	code     []byte
	text     []byte
	err      error
}

func (m *weirMessage) walk(c *cursor) {
	c.object(func(name []byte) {
		switch string(name) {
		case "type":
			m.kind = c.text()
		case "channel":
			m.followed = m.s.find(c.text())
			m.other = m.followed < 0
		case "seq":
			m.seq = c.number()
		case "op":
			m.deleted = string(c.text()) == "delete"
		case "key":
			m.key = c.text()
		case "data":
			m.data = c.raw()
		case "position":
			m.position(c)
		case "recovered":
			m.kept = string(c.raw()) == "true"
			if string(m.kind) == "subscribed" && !m.kept {
				m.reset()
			}
		case "code":
			m.code = c.raw()
		case "message":
			m.text = c.raw()
		case "messages", "changes":
			c.array(func() { m.element(c) })
		default:
			c.raw()
		}
	})
	if !c.bad {
		m.finish()
	}
}

func (m *weirMessage) position(c *cursor) {
	c.object(func(name []byte) {
		switch string(name) {
		case "epoch":
			m.epoch = c.text()
		case "seq":
			m.at = c.number()
		default:
			c.raw()
		}
	})
}

// element reads one entry of a batch, or one change of what was missed.
func (m *weirMessage) element(c *cursor) {
	e := weirMessage{s: m.s, seen: m.seen, followed: m.followed, other: m.other, listed: m.followed >= 0}
	e.walk(c)
	if m.err == nil {
		m.err = e.err
	}
}

func (m *weirMessage) reset() {
	if m.followed >= 0 {
		m.seen.Reset(m.followed)
	}
}

// finish acts on a message once it was read to its end.
func (m *weirMessage) finish() {
	kind := string(m.kind)
	if kind == "" && m.listed {
		kind = "channel_update"
	}
	switch kind {
	case "channel_update":
		if m.followed < 0 {
			return
		}
		f := &m.s.Channels[m.followed]
		f.Seq = max(f.Seq, m.seq)
		m.seen.Delivered(m.followed, m.seq, m.key, m.data, m.deleted)
	case "subscribed", "resync":
		if m.followed < 0 {
			return
		}
		f := &m.s.Channels[m.followed]
		f.Epoch, f.Seq, f.Known = string(m.epoch), max(m.at, m.s.Channels[m.followed].Seq), true
		if kind == "resync" || !m.kept {
			f.Seq = m.at
		}
		if kind == "resync" {
			m.reset()
			return
		}
		m.s.Confirmed++
	case "error", "unsubscribed":
		if m.code != nil {
			m.err = fmt.Errorf("%w: %s %s", ErrRefused, m.code, m.text)
		}
	}
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

// Refused counts the answers without a position.
func (w *weir) Refused(status int, body []byte, n int) int {
	if status != 200 {
		return n
	}
	return max(n-bytes.Count(body, []byte(`"position"`)), 0)
}
