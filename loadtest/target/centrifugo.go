package target

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"weir/loadtest/codec"
)

// centrifugo speaks the JSON protocol of Centrifugo 4 and later (and of the centrifuge library), and
// publishes with its HTTP API.
type centrifugo struct {
	at       Endpoint
	one, all []byte
}

func newCentrifugo(o Options, subscribe, publish Endpoint) Target {
	key := [2]string{"X-API-Key", o.Key}
	kind := [2]string{"Content-Type", "application/json"}
	return &centrifugo{
		at:  subscribe,
		one: post(publish, publish.at("/api/publish"), key, kind),
		all: post(publish, publish.at("/api/batch"), key, kind),
	}
}

func (t *centrifugo) Traits() Traits { return Traits{Batch: 10_000} }

func (t *centrifugo) Open(*Subscriber) codec.Request {
	return t.at.get(t.at.at("/connection/websocket"))
}

func (t *centrifugo) Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	if msg != nil {
		reply, err = t.Read(s, msg, seen)
		s.Subscribed = s.confirmed == len(s.Channels)+1
		return reply, err
	}
	s.confirmed, s.Subscribed = 0, false
	reply = append(reply, `{"id":1,"connect":{"token":`...)
	reply = appendString(reply, s.Token)
	reply = append(reply, `}}`...)
	return t.subscribe(reply, s, 0), nil
}

// subscribe appends commands for the channels from the given one on, each on a line after others.
func (t *centrifugo) subscribe(dst []byte, s *Subscriber, from int) []byte {
	for i, c := range s.Channels[from:] {
		if len(dst) > 0 {
			dst = append(dst, '\n')
		}
		dst = append(dst, `{"id":`...)
		dst = strconv.AppendInt(dst, int64(from+i+2), 10)
		dst = append(dst, `,"subscribe":{"channel":`...)
		dst = appendString(dst, c.Name)
		dst = append(dst, `}}`...)
	}
	return dst
}

// Joins implements Joiner.
func (t *centrifugo) Joins() bool { return true }

// Join implements Joiner.
func (t *centrifugo) Join(s *Subscriber, from int) []byte {
	s.Subscribed = false
	return t.subscribe(nil, s, from)
}

// centrifugoReply is one reply, or what is pushed.
type centrifugoReply struct {
	Push struct {
		Channel string `json:"channel"`
		Pub     struct {
			Data   raw    `json:"data"`
			Offset uint64 `json:"offset"`
		} `json:"pub"`
	} `json:"push"`
	Connect   raw `json:"connect"`
	Subscribe raw `json:"subscribe"`
	Error     raw `json:"error"`
}

var centrifugoReplies scratch[centrifugoReply]

// Read takes a frame of one or more replies, one a line. An empty reply is a ping and is answered.
func (t *centrifugo) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	r := centrifugoReplies.take()
	defer func() {
		*r = centrifugoReply{}
		centrifugoReplies.give(r)
	}()
	for len(msg) > 0 {
		var line []byte
		line, msg, _ = bytes.Cut(msg, []byte("\n"))
		*r = centrifugoReply{}
		if err := decode(line, r); err != nil {
			return nil, err
		}
		if r.Connect != nil {
			s.confirmed++
		}
		if r.Subscribe != nil {
			s.confirmed++
		}
		if r.Error != nil {
			err = fmt.Errorf("%w: %s", errRefused, r.Error)
		}
		if followed := s.find(r.Push.Channel); followed >= 0 && r.Push.Pub.Data != nil {
			seen.Delivered(followed, r.Push.Pub.Offset, nil, r.Push.Pub.Data, false)
		}
		if string(bytes.TrimSpace(line)) == "{}" {
			reply = []byte("{}")
		}
	}
	return reply, err
}

func (t *centrifugo) Publish(dst []byte, msgs []Message) []byte {
	one := func(dst []byte, m Message) []byte {
		dst = append(dst, `{"channel":`...)
		dst = appendString(dst, m.Channel)
		dst = append(dst, `,"data":`...)
		dst = append(dst, m.Data...)
		return append(dst, '}')
	}
	if len(msgs) == 1 {
		return appendRequest(dst, t.one, func(dst []byte) []byte { return one(dst, msgs[0]) })
	}
	return appendRequest(dst, t.all, func(dst []byte) []byte {
		dst = append(dst, `{"commands":[`...)
		for i, m := range msgs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"publish":`...)
			dst = append(one(dst, m), '}')
		}
		return append(dst, `]}`...)
	})
}

// RefusedOf implements Refuser: replies are in the order of the commands.
func (t *centrifugo) RefusedOf(status int, body []byte, n int) (list []int) {
	var answer struct {
		Replies []struct{ Error json.RawMessage }
	}
	if status != 200 || n == 1 || json.Unmarshal(body, &answer) != nil || len(answer.Replies) != n {
		return nil
	}
	for i, r := range answer.Replies {
		if len(r.Error) > 0 {
			list = append(list, i)
		}
	}
	return list
}

func (t *centrifugo) Refused(status int, body []byte, n int) int {
	if status != 200 {
		return n
	}
	return min(bytes.Count(body, []byte(`"error"`)), n)
}
