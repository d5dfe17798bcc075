package target

import (
	"bytes"
	"net/url"

	"weir/loadtest/codec"
)

// nchan is nginx with the nchan module: /sub?id= and /pub?id=, or the paths given with {channel}.
type nchan struct {
	payloads
	at, to Endpoint
}

func newNchan(_ Options, subscribe, publish Endpoint) Target {
	return &nchan{at: subscribe, to: publish}
}

func (t *nchan) Traits() Traits { return Traits{Batch: 1, Settle: true, placed: true} }

func (t *nchan) Open(s *Subscriber) codec.Request {
	return t.at.get(nchanPath(t.at, "/sub?id=", s.Channels[0].Name))
}

// nchanPath is the address itself when it says where the channel goes, or the usual path under it.
func nchanPath(e Endpoint, usual, channel string) string {
	if path, ok := fill(e.Path, channel); ok {
		return path
	}
	return e.at(usual) + url.QueryEscape(channel)
}

func (t *nchan) Publish(dst []byte, msgs []Message) []byte {
	path := nchanPath(t.to, "/pub?id=", msgs[0].Channel)
	return appendRequest(dst, post(t.to, path), func(dst []byte) []byte { return append(dst, msgs[0].Data...) })
}

// payloads is what plain servers have in common: who connects is subscribed, a message is a payload and nothing else,
// and a publish is refused by its status.
type payloads struct{}

func (payloads) Greet(s *Subscriber, _ []byte, _ Sink) ([]byte, error) {
	s.Subscribed = true
	return nil, nil
}

// Read hands on messages, one or more a line each.
func (payloads) Read(_ *Subscriber, msg []byte, seen Sink) ([]byte, error) {
	for len(msg) > 0 {
		var line []byte
		line, msg, _ = bytes.Cut(msg, []byte("\n"))
		seen.Delivered(0, 0, nil, line, false)
	}
	return nil, nil
}

func (payloads) Refused(status int, _ []byte, n int) int {
	if status >= 200 && status < 300 {
		return 0
	}
	return n
}

// open is a GET for a subscriber's channel, with more headers and its token.
func (e Endpoint) open(s *Subscriber, headers ...[2]string) codec.Request {
	r := e.get(filled(e.Path, s.Channels[0].Name))
	r.Headers = headers
	if s.Token != "" {
		r = r.With("Authorization", "Bearer "+s.Token)
	}
	return r
}

// plainSocket is a plain broadcast server: what one WebSocket sends, every other receives. A batch is
// sent as separate frames.
type plainSocket struct {
	payloads
	at Endpoint
}

func newPlainSocket(_ Options, subscribe, _ Endpoint) Target { return &plainSocket{at: subscribe} }

func (t *plainSocket) Traits() Traits {
	_, bound := fill(t.at.Path, "")
	return Traits{Batch: 10_000, Socket: true, Settle: true, placed: bound, Bound: bound, Single: !bound}
}

func (t *plainSocket) Open(s *Subscriber) codec.Request { return t.at.open(s) }

func (t *plainSocket) Publish(dst []byte, msgs []Message) []byte {
	for _, m := range msgs {
		dst = codec.AppendFrame(dst, codec.OpText, m.Data)
	}
	return dst
}

func (t *plainSocket) Refused(int, []byte, int) int { return 0 }

// plainEvents is any server of event streams: GET on the address reads, POST on the other (or the
// same) publishes the payload as the body.
type plainEvents struct {
	payloads
	at, to Endpoint
}

func newPlainEvents(_ Options, subscribe, publish Endpoint) Target {
	return &plainEvents{at: subscribe, to: publish}
}

func (t *plainEvents) Traits() Traits {
	_, placed := fill(t.at.Path, "")
	return Traits{Stream: EventStream, Batch: 1, Settle: true, placed: placed, Single: !placed}
}

func (t *plainEvents) Open(s *Subscriber) codec.Request {
	return t.at.open(s, [2]string{"Accept", "text/event-stream"})
}

func (t *plainEvents) Publish(dst []byte, msgs []Message) []byte {
	head := post(t.to, filled(t.to.Path, msgs[0].Channel), [2]string{"Content-Type", "application/json"})
	return appendRequest(dst, head, func(dst []byte) []byte { return append(dst, msgs[0].Data...) })
}
