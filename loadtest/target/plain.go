package target

import (
	"bytes"
	"net/url"

	"weir/loadtest/codec"
)

// nchan is nginx with the nchan module: /sub?id= and /pub?id=, or the paths given with {channel}.
type nchan struct{ at, to Endpoint }

func newNchan(_ Options, subscribe, publish Endpoint) Target { return &nchan{subscribe, publish} }

func (t *nchan) Traits() Traits { return Traits{Batch: 1, Settle: true} }

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

func (t *nchan) Greet(s *Subscriber, _ []byte, _ Sink) ([]byte, error) {
	s.Subscribed = true
	return nil, nil
}

func (t *nchan) Read(s *Subscriber, msg []byte, seen Sink) ([]byte, error) {
	return nil, readLines(msg, seen)
}

func (t *nchan) Publish(dst []byte, msgs []Message) []byte {
	path := nchanPath(t.to, "/pub?id=", msgs[0].Channel)
	return appendRequest(dst, post(t.to, path), func(dst []byte) []byte { return append(dst, msgs[0].Data...) })
}

func (t *nchan) Refused(status int, _ []byte, n int) int { return refusedUnless2xx(status, n) }

func refusedUnless2xx(status, n int) int {
	if status >= 200 && status < 300 {
		return 0
	}
	return n
}

// readLines hands on messages that are payloads and nothing else, one or more a line each.
func readLines(msg []byte, seen Sink) error {
	for len(msg) > 0 {
		var line []byte
		line, msg, _ = bytes.Cut(msg, []byte("\n"))
		seen.Delivered(0, 0, nil, line, false)
	}
	return nil
}

// plainSocket is a plain broadcast server: what one WebSocket sends, every other receives. A batch is
// sent as separate frames.
type plainSocket struct{ at Endpoint }

func newPlainSocket(_ Options, subscribe, _ Endpoint) Target { return &plainSocket{subscribe} }

func (t *plainSocket) Traits() Traits { return Traits{Batch: 10_000, Socket: true, Settle: true} }

func (t *plainSocket) Open(s *Subscriber) codec.Request {
	r := t.at.get(filled(t.at.Path, s.Channels[0].Name))
	if s.Token != "" {
		r = r.With("Authorization", "Bearer "+s.Token)
	}
	return r
}

func (t *plainSocket) Greet(s *Subscriber, msg []byte, seen Sink) ([]byte, error) {
	s.Subscribed = true
	return nil, nil
}

func (t *plainSocket) Read(_ *Subscriber, msg []byte, seen Sink) ([]byte, error) {
	return nil, readLines(msg, seen)
}

func (t *plainSocket) Publish(dst []byte, msgs []Message) []byte {
	for _, m := range msgs {
		dst = codec.AppendFrame(dst, codec.OpText, m.Data)
	}
	return dst
}

func (t *plainSocket) Refused(int, []byte, int) int { return 0 }

// plainEvents is any server of event streams: GET on the address reads, POST on the other (or the
// same) publishes the payload as the body.
type plainEvents struct{ at, to Endpoint }

func newPlainEvents(_ Options, subscribe, publish Endpoint) Target {
	return &plainEvents{subscribe, publish}
}

func (t *plainEvents) Traits() Traits {
	return Traits{Stream: EventStream, Batch: 1, Settle: true}
}

func (t *plainEvents) Open(s *Subscriber) codec.Request {
	r := t.at.get(filled(t.at.Path, s.Channels[0].Name)).With("Accept", "text/event-stream")
	if s.Token != "" {
		r = r.With("Authorization", "Bearer "+s.Token)
	}
	return r
}

func (t *plainEvents) Greet(s *Subscriber, _ []byte, _ Sink) ([]byte, error) {
	s.Subscribed = true
	return nil, nil
}

func (t *plainEvents) Read(_ *Subscriber, msg []byte, seen Sink) ([]byte, error) {
	return nil, readLines(msg, seen)
}

func (t *plainEvents) Publish(dst []byte, msgs []Message) []byte {
	head := post(t.to, filled(t.to.Path, msgs[0].Channel), [2]string{"Content-Type", "application/json"})
	return appendRequest(dst, head, func(dst []byte) []byte { return append(dst, msgs[0].Data...) })
}

func (t *plainEvents) Refused(status int, _ []byte, n int) int { return refusedUnless2xx(status, n) }
