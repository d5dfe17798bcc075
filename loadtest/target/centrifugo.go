package target

import (
	"bytes"
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
		s.Subscribed = s.Confirmed == len(s.Channels)+1
		return reply, err
	}
	s.Confirmed, s.Subscribed = 0, false
	reply = append(reply, `{"id":1,"connect":{"token":`...)
	reply = appendString(reply, s.Token)
	reply = append(reply, `}}`...)
	for i, c := range s.Channels {
		reply = append(reply, "\n{\"id\":"...)
		reply = strconv.AppendInt(reply, int64(i+2), 10)
		reply = append(reply, `,"subscribe":{"channel":`...)
		reply = appendString(reply, c.Name)
		reply = append(reply, `}}`...)
	}
	return reply, nil
}

// Read takes a frame of one or more replies, one a line. An empty reply is a ping and is answered.
func (t *centrifugo) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	for len(msg) > 0 {
		var line []byte
		line, msg, _ = bytes.Cut(msg, []byte("\n"))
		c := cursor{b: line}
		fields := 0
		c.object(func(name []byte) {
			fields++
			switch string(name) {
			case "push":
				t.push(&c, s, seen)
			case "connect", "subscribe":
				c.raw()
				s.Confirmed++
			case "error":
				err = fmt.Errorf("%w: %s", ErrRefused, c.raw())
			default:
				c.raw()
			}
		})
		if !c.end() {
			return nil, errShape(line)
		}
		if fields == 0 {
			reply = []byte("{}")
		}
	}
	return reply, err
}

func (t *centrifugo) push(c *cursor, s *Subscriber, seen Sink) {
	followed, data := -1, []byte(nil)
	var seq uint64
	c.object(func(name []byte) {
		switch string(name) {
		case "channel":
			followed = s.find(c.text())
		case "pub":
			c.object(func(name []byte) {
				switch string(name) {
				case "data":
					data = c.raw()
				case "offset":
					seq = c.number()
				default:
					c.raw()
				}
			})
		default:
			c.raw()
		}
	})
	if followed >= 0 && data != nil && !c.bad {
		seen.Delivered(followed, seq, nil, data, false)
	}
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

func (t *centrifugo) Refused(status int, body []byte, n int) int {
	if status != 200 {
		return n
	}
	return min(bytes.Count(body, []byte(`"error"`)), n)
}
