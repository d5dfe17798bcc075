package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// chat is the system of weir that keeps rooms: messages are posted to rooms by a member, and members type.
const chat = "chat"

// Preparer is a Target whose channels have to be made before a test.
type Preparer interface {
	// Prepare makes a channel for each of the groups of users and returns their names. The owner publishes.
	Prepare(ctx context.Context, owner, token string, members [][]string) (channels []string, err error)
}

// typingEvery is after how many messages that it has read a subscriber says that it is typing.
const typingEvery = 8

// weirChat makes a room for each channel and posts messages to it; a message carries its stamp as metadata.
// Subscribers are members who read the room's channel and type now and then.
type weirChat struct {
	*weir
	post  Endpoint
	heads map[string][]byte // of a request with a message, by channel; set by Prepare
}

func newWeirChat(o Options, subscribe, publish Endpoint) (Target, error) {
	t, err := newWeir(o, subscribe, publish)
	if err != nil {
		return nil, err
	}
	return &weirChat{weir: t.(*weir), post: publish}, nil
}

func (w *weirChat) Traits() Traits {
	t := w.weir.Traits()
	t.Batch = 1
	return t
}

// Prepare implements Preparer.
func (w *weirChat) Prepare(ctx context.Context, _, token string, members [][]string) ([]string, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	w.heads = make(map[string][]byte)
	var names []string
	for i, users := range members {
		id, err := w.room(ctx, client, token, i, users)
		if err != nil {
			return nil, err
		}
		name := "room:" + id
		names = append(names, name)
		w.heads[name] = post(w.post, w.post.at("/chat/rooms/"+id+"/messages"), [2]string{"Authorization", "Bearer " + token}, [2]string{"Content-Type", "application/json"})
	}
	return names, nil
}

// room makes a room and returns its id.
func (w *weirChat) room(ctx context.Context, client *http.Client, token string, i int, users []string) (string, error) {
	body, err := json.Marshal(map[string]any{"name": "bench " + strconv.Itoa(i), "isPrivate": true, "members": users})
	if err != nil {
		return "", err
	}
	scheme := "http"
	if w.post.TLS {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+w.post.Host+w.post.at("/chat/rooms"), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("make a room: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("make a room: %w", err)
	}
	var room struct {
		ID string `json:"id"`
	}
	if resp.StatusCode != http.StatusCreated || json.Unmarshal(raw, &room) != nil || room.ID == "" {
		return "", fmt.Errorf("make a room: returned status %d: %.200s: %w", resp.StatusCode, raw, errRefused)
	}
	return room.ID, nil
}

// Greet and Read see to it that only messages of the rooms count.
func (w *weirChat) Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	return w.weir.Greet(s, msg, &chatSink{Sink: seen, s: s})
}

// Read implements Target.
func (w *weirChat) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	sink := &chatSink{Sink: seen, s: s}
	if reply, err = w.weir.Read(s, msg, sink); err != nil || w.events {
		return reply, err
	}
	before := s.read / typingEvery
	s.read += sink.messages
	if s.read/typingEvery > before {
		reply = append(reply, `{"type":"event","topic":"chat.typing.start","data":{"roomId":`...)
		reply = append(appendString(reply, sink.room[len("room:"):]), "}}"...)
	}
	return reply, nil
}

// chatSink takes the stamps out of what rooms tell.
type chatSink struct {
	Sink
	s        *Subscriber
	messages int
	room     string // of the last message
	change   chatChange
}

// Delivered implements Sink.
func (k *chatSink) Delivered(followed int, seq uint64, key, data []byte, deleted bool) {
	if k.s.Channels[followed].Watch {
		k.Sink.Delivered(followed, seq, key, data, deleted)
		return
	}
	stamp := k.stamp(data)
	if stamp == nil {
		k.Sink.Delivered(followed, seq, nil, nil, true) // who types, or the test's own greeting: nothing to be held against anything
		return
	}
	k.messages++
	k.room = k.s.Channels[followed].Name
	k.Sink.Delivered(followed, seq, nil, stamp, false)
}

// chatChange is what a room's channel tells of a message.
type chatChange struct {
	Type    string `json:"type"`
	Message struct {
		Metadata raw `json:"metadata"`
	} `json:"message"`
}

// stamp returns the metadata of a new message; nil if data is none or has none.
func (k *chatSink) stamp(data []byte) []byte {
	k.change = chatChange{}
	if decode(data, &k.change) != nil || k.change.Type != "new_message" {
		return nil
	}
	return k.change.Message.Metadata
}

// Publish posts one message.
func (w *weirChat) Publish(dst []byte, msgs []Message) []byte {
	return appendRequest(dst, w.heads[msgs[0].Channel], func(dst []byte) []byte {
		dst = append(dst, `{"content":"hello"`...)
		if bytes.HasPrefix(msgs[0].Data, []byte(`{"c":`)) { // a stamp, and not the test's own greeting
			dst = append(append(dst, `,"metadata":`...), msgs[0].Data...)
		}
		return append(dst, '}')
	})
}

// Refused implements Target.
func (w *weirChat) Refused(status int, _ []byte, n int) int {
	if status != http.StatusCreated {
		return n
	}
	return 0
}
