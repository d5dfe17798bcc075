package target

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/codec"
)

// pusher speaks the Pusher Channels protocol 7, as Soketi and others do.
type pusher struct {
	at, to           Endpoint
	app, key, secret string
}

func newPusher(o Options, subscribe, publish Endpoint) (Target, error) {
	parts := strings.Split(o.Key, ":")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return nil, fmt.Errorf("pusher: expected a key of the form app:key:secret: %w", ErrTarget)
	}
	return &pusher{at: subscribe, to: publish, app: parts[0], key: parts[1], secret: parts[2]}, nil
}

func (t *pusher) Traits() Traits { return Traits{Batch: 10} }

func (t *pusher) Open(*Subscriber) codec.Request {
	return t.at.get(t.at.at("/app/" + t.key + "?protocol=7&client=weir-bench&version=1"))
}

// channel is the name as this protocol allows it: no colon.
func (t *pusher) channel(name string) string { return strings.ReplaceAll(name, ":", "-") }

func (t *pusher) Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	if msg == nil {
		s.confirmed, s.Subscribed = 0, false
		return nil, nil
	}
	before := s.confirmed
	if reply, err = t.Read(s, msg, seen); err != nil || s.confirmed == before {
		return reply, err
	}
	// one subscription after the other: the first after the greeting, the next after each answer
	next := s.confirmed - 1
	s.Subscribed = next == len(s.Channels)
	if s.Subscribed {
		return reply, nil
	}
	return t.subscribe(s.Channels[next].Name), nil
}

func (t *pusher) subscribe(channel string) []byte {
	return append(appendString([]byte(`{"event":"pusher:subscribe","data":{"channel":`), t.channel(channel)), `}}`...)
}

// Joins implements Joiner.
func (t *pusher) Joins() bool { return true }

// Join implements Joiner.
func (t *pusher) Join(s *Subscriber, from int) []byte {
	s.Subscribed = false
	return t.subscribe(s.Channels[from].Name)
}

// pusherMessage is one message.
type pusherMessage struct {
	Event   string `json:"event"`
	Channel string `json:"channel"`
	Data    raw    `json:"data"`
}

var pusherMessages scratch[pusherMessage]

func (t *pusher) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	m := pusherMessages.take()
	defer func() {
		*m = pusherMessage{}
		pusherMessages.give(m)
	}()
	if err := decode(msg, m); err != nil {
		return nil, err
	}
	switch m.Event {
	case "pusher:connection_established", "pusher_internal:subscription_succeeded":
		s.confirmed++
	case "pusher:error":
		return nil, fmt.Errorf("%w: %s", errRefused, m.Data)
	case "pusher:ping":
		return []byte(`{"event":"pusher:pong","data":{}}`), nil
	case pusherEvent:
		for i := range s.Channels {
			if t.channel(s.Channels[i].Name) == m.Channel {
				seen.Delivered(i, 0, nil, unquote(m.Data), false)
			}
		}
	}
	return nil, nil
}

const pusherEvent = "bench"

// unquote takes the JSON that this protocol wraps in a JSON string out of it.
func unquote(data []byte) []byte {
	if len(data) < 2 || data[0] != '"' {
		return data
	}
	inner := data[1 : len(data)-1]
	if !bytes.Contains(inner, []byte(`\u`)) {
		return bytes.ReplaceAll(inner, []byte(`\"`), []byte(`"`))
	}
	var s string
	if json.Unmarshal(data, &s) != nil {
		return data
	}
	return []byte(s)
}

func (t *pusher) Publish(dst []byte, msgs []Message) []byte {
	path, body := "/apps/"+t.app+"/events", []byte(nil)
	if len(msgs) == 1 {
		body = t.event(body, msgs[0])
	} else {
		path, body = "/apps/"+t.app+"/batch_events", append(body, `{"batch":[`...)
		for i, m := range msgs {
			if i > 0 {
				body = append(body, ',')
			}
			body = t.event(body, m)
		}
		body = append(body, `]}`...)
	}
	return appendRequest(dst, t.head(path, body), func(dst []byte) []byte { return append(dst, body...) })
}

func (t *pusher) event(dst []byte, m Message) []byte {
	dst = append(dst, `{"name":"`+pusherEvent+`","channel":`...)
	dst = appendString(dst, t.channel(m.Channel))
	dst = append(dst, `,"data":`...)
	dst = appendString(dst, string(m.Data))
	return append(dst, '}')
}

// head signs a request: the signature covers the method, the path and the parameters in order.
func (t *pusher) head(path string, body []byte) []byte {
	path = t.to.at(path)
	sum := md5.Sum(body)
	query := "auth_key=" + t.key + "&auth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10) +
		"&auth_version=1.0&body_md5=" + hex.EncodeToString(sum[:])
	mac := hmac.New(sha256.New, []byte(t.secret))
	mac.Write([]byte("POST\n" + path + "\n" + query))
	return post(t.to, path+"?"+query+"&auth_signature="+hex.EncodeToString(mac.Sum(nil)), [2]string{"Content-Type", "application/json"})
}

func (t *pusher) Refused(status int, _ []byte, n int) int {
	if status == 200 {
		return 0
	}
	return n
}
