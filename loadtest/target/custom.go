package target

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"weir/loadtest/check"
	"weir/loadtest/codec"
	"weir/loadtest/protocol"
)

// custom speaks what a file describes.
type custom struct {
	c    *protocol.Compiled
	at   Endpoint
	to   Endpoint
	key  string
	refs atomic.Uint64
	sent atomic.Int64 // messages published, for {{number}}
}

// session is the state of a connection whose protocol is described in a file. It is owned by the connection's loop.
type session struct {
	topics    []string // of the followed channels
	steps     []protocol.CompiledStep
	step      int
	confirmed int // messages that the present step has waited for
	need      int
	from      int // channels before this one are subscribed
	kept      map[string]string
	values    protocol.Values
	row       map[string]string
	stamp     []byte // made of an id
}

func newCustom(o Options, subscribe, publish Endpoint) (Target, Endpoint, Endpoint, error) {
	p := o.Protocol
	if p.Path != "" {
		subscribe.Path = subscribe.at(p.Path)
	}
	if p.Publish.URL != "" {
		if p.Publish.URL[0] == '/' {
			publish.Path = publish.at(p.Publish.URL)
		} else if o.Publish == "" {
			var err error
			if publish, err = parse(p.Publish.URL); err != nil {
				return nil, subscribe, publish, err
			}
		}
	} else if o.Publish == "" && p.Publish.WebSocket() {
		publish = subscribe
	}
	c, err := p.Compile(unescape(subscribe.Path), unescape(publish.Path))
	if err != nil {
		return nil, subscribe, publish, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return &custom{c: c, at: subscribe, to: publish, key: o.Key}, subscribe, publish, nil
}

func (t *custom) Traits() Traits {
	tr := Traits{Batch: t.c.Publish.Batch, Framed: true, Chatter: true, Socket: t.c.Publish.Send != nil}
	if t.c.Stream == protocol.StreamEvents {
		tr.Stream = EventStream
	}
	for _, s := range t.c.Publish.Open {
		tr.Joins = tr.Joins || s.Each
	}
	placed, said := t.placed(), slices.ContainsFunc(t.c.Open, func(s protocol.CompiledStep) bool { return s.Each })
	tr.placed = placed
	tr.Bound = tr.Socket && placed && !t.c.Publish.Send.Uses("channel", "topic")
	tr.Single = !placed && !said && t.c.Message.Channel == nil && !t.c.Message.Uses("channel", "topic")
	last := len(t.c.Open) - 1
	tr.Settle = last < 0 || t.c.Open[last].Expect == nil
	return tr
}

// begin makes the state of a connection.
func (t *custom) begin(s *Subscriber) *session {
	n := &session{steps: t.c.Open, kept: map[string]string{}, row: t.c.Row(s.Index)}
	if s.Publisher {
		n.steps = t.c.Publish.Open
	}
	n.values = protocol.Values{User: s.User, Token: s.Token, Number: s.Index, Key: t.key, Kept: n.kept}
	for _, f := range s.Channels {
		n.topics = append(n.topics, t.topic(f.Name))
	}
	if len(s.Channels) > 0 {
		n.values.Channel, n.values.Topic = s.Channels[0].Name, n.topics[0]
	}
	s.session = n
	return n
}

func (t *custom) topic(channel string) string {
	return string(t.c.Topic.Append(nil, &protocol.Values{Channel: channel}, nil))
}

func (t *custom) Open(s *Subscriber) codec.Request {
	n := t.begin(s)
	r := t.at.get(string(t.c.Path.Append(nil, &n.values, n.row)))
	for _, h := range t.c.Headers {
		if !h.Value.Empty(&n.values, n.row) {
			r = r.With(h.Name, string(h.Value.Append(nil, &n.values, n.row)))
		}
	}
	if t.c.Stream == protocol.StreamEvents {
		return r.With("Accept", "text/event-stream")
	}
	if t.c.Subprotocol != "" {
		r = r.With("Sec-WebSocket-Protocol", t.c.Subprotocol)
	}
	return r
}

// Greet goes through the steps.
func (t *custom) Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	if msg == nil {
		if s.session == nil {
			t.begin(s)
		}
		s.Subscribed = false
		return t.advance(s, nil), nil
	}
	err = t.each(msg, func(one []byte) error {
		n := s.session
		if s.Subscribed || !t.expected(n, one) {
			reply, err = t.take(s, reply, one, seen)
			return err
		}
		if n.confirmed++; n.confirmed >= n.need {
			n.step++
			reply = t.advance(s, reply)
		}
		return nil
	})
	return reply, err
}

// expected reports whether a message is what the present step waits for, and keeps of it what is to be kept.
func (t *custom) expected(n *session, msg []byte) bool {
	step := &n.steps[n.step]
	rest, ok := step.Expect.Rest(msg, &n.values, n.row)
	if !ok {
		return false
	}
	for name, path := range step.Keep {
		raw, _ := path.Get(rest)
		text, _ := protocol.Text(raw)
		n.kept[name] = string(text)
	}
	return true
}

// advance appends what is to be sent until something is waited for.
func (t *custom) advance(s *Subscriber, dst []byte) []byte {
	n := s.session
	for ; n.step < len(n.steps); n.step++ {
		step := &n.steps[n.step]
		n.confirmed, n.need = 0, 1
		switch {
		case step.Send != nil && step.Each:
			n.need = len(s.Channels) - n.from
			if n.need == 0 {
				continue
			}
			for i := n.from; i < len(s.Channels); i++ {
				n.values.Channel, n.values.Topic = s.Channels[i].Name, n.topics[i]
				dst = t.send(dst, step.Send, n)
			}
			n.values.Channel, n.values.Topic = s.Channels[0].Name, n.topics[0]
		case step.Send != nil:
			dst = t.send(dst, step.Send, n)
		}
		if step.Expect != nil {
			return dst
		}
	}
	s.Subscribed = true
	return dst
}

// Joins implements Joiner: a step that is sent for each channel can be sent later, if those after it are not
// for the connection.
func (t *custom) Joins() bool {
	i := slices.IndexFunc(t.c.Open, func(s protocol.CompiledStep) bool { return s.Each })
	return i >= 0 && !slices.ContainsFunc(t.c.Open[i:], func(s protocol.CompiledStep) bool { return !s.Each }) &&
		!t.placed()
}

// placed reports whether the request that opens a connection says the channel.
func (t *custom) placed() bool {
	return t.c.Path.Uses("channel", "topic") || slices.ContainsFunc(t.c.Headers, func(h protocol.Pair) bool { return h.Value.Uses("channel", "topic") })
}

// Join implements Joiner.
func (t *custom) Join(s *Subscriber, from int) []byte {
	n := s.session
	for _, f := range s.Channels[from:] {
		n.topics = append(n.topics, t.topic(f.Name))
	}
	s.Subscribed, n.from = false, from
	n.values.Channel, n.values.Topic = s.Channels[0].Name, n.topics[0]
	n.step = slices.IndexFunc(t.c.Open, func(s protocol.CompiledStep) bool { return s.Each })
	return t.advance(s, nil)
}

// send appends a message as a frame.
func (t *custom) send(dst []byte, text *protocol.Template, n *session) []byte {
	n.values.Ref = t.refs.Add(1)
	return t.frame(dst, text.Append(nil, &n.values, n.row))
}

func (t *custom) frame(dst, msg []byte) []byte {
	op := byte(codec.OpText)
	if t.c.Binary {
		op = codec.OpBinary
	}
	return codec.AppendFrame(dst, op, msg)
}

// each calls do for every message of a frame.
func (t *custom) each(msg []byte, do func(one []byte) error) error {
	if len(msg) < t.c.Protocol.Message.Offset {
		return fmt.Errorf("a message of %d bytes, shorter than message.offset: %w", len(msg), codec.ErrProtocol)
	}
	msg = msg[t.c.Protocol.Message.Offset:]
	if !t.c.Protocol.Message.Lines {
		return do(msg)
	}
	for len(msg) > 0 {
		var line []byte
		if line, msg, _ = bytes.Cut(msg, []byte("\n")); len(line) > 0 {
			if err := do(line); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *custom) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	err = t.each(msg, func(one []byte) error {
		reply, err = t.take(s, reply, one, seen)
		return err
	})
	return reply, err
}

// take answers a message and hands on what it carries.
func (t *custom) take(s *Subscriber, reply, msg []byte, seen Sink) ([]byte, error) {
	n := s.session
	for _, m := range t.c.Refused {
		if _, ok := m.Rest(msg, &n.values, n.row); ok {
			return reply, fmt.Errorf("%w: %.200s", errRefused, msg)
		}
	}
	for i := range t.c.Answer {
		a := &t.c.Answer[i]
		if rest, ok := a.When.Rest(msg, &n.values, n.row); ok {
			n.values.Received = rest
			reply = t.send(reply, a.Send, n)
			n.values.Received = nil
		}
	}
	if rest, ok := t.c.Message.Rest(msg, &n.values, n.row); ok {
		t.deliver(s, rest, seen)
	}
	return reply, nil
}

// Beat implements Beater.
func (t *custom) Beat(s *Subscriber) []byte {
	if s.session == nil {
		return nil
	}
	return t.send(nil, t.c.Heartbeat, s.session)
}

// Every implements Beater.
func (t *custom) Every() int64 {
	if t.c.Heartbeat == nil {
		return 0
	}
	return int64(t.c.Protocol.Heartbeat.Every)
}

// Refused implements Target.
func (t *custom) Refused(status int, body []byte, n int) int {
	if t.c.Accepted(status, body) {
		return 0
	}
	return n
}

// messageID is how {{id}} names a message.
func messageID(s check.Stamp) string {
	return strconv.FormatUint(uint64(s.Channel), 10) + "-" + strconv.FormatUint(uint64(s.Source), 10) + "-" + strconv.FormatUint(s.Number, 10) + "-" + strconv.FormatInt(s.Due, 36)
}
