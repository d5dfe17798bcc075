package chat_test

import (
	"fmt"
	"reflect"
	"testing"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/chat"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

type (
	message = relaytest.Message
	peer    = relaytest.Peer
)

// rig is a relay with a chat.
type rig struct{ *relaytest.Rig }

func start(t testing.TB, prepare func(*config.Config)) *rig {
	t.Helper()
	return &rig{relaytest.Start(t, prepare, chat.New())}
}

// want sends a request as a user and answers the body, which must come with the status.
func (g *rig) want(status int, user, method, path string, body any) message {
	g.Helper()
	got, out := g.As(user, method, path, body)
	if got != status {
		g.Fatalf("%s %s by %s: %d %v, want %d", method, path, user, got, out, status)
	}
	m, _ := out.(message)
	return m
}

// room makes a room of u1 and others.
func (g *rig) room(more message, members ...string) string {
	g.Helper()
	body := message{"name": "n", "members": members}
	for k, v := range more {
		body[k] = v
	}
	return g.want(201, "u1", "POST", "/chat/rooms", body)["id"].(string)
}

// send sends a message and answers it.
func (g *rig) send(user, room, content string) message {
	g.Helper()
	return g.want(201, user, "POST", "/chat/rooms/"+room+"/messages", message{"content": content})
}

// follow connects a user and subscribes to channels.
func (g *rig) follow(user string, channels ...string) *peer {
	g.Helper()
	p := g.WS(user, "/ws")
	p.Type("connected")
	for _, c := range channels {
		p.Send(message{"type": "subscribe", "id": c, "channel": c})
		p.Type("subscribed")
	}
	return p
}

// listen follows a topic as a backend's worker.
func (g *rig) listen(topic string) *peer {
	g.Helper()
	p, _ := g.Dial(g.Token("worker", relaytest.Grant("event:"+topic, "subscribe")), "/ws")
	if p == nil {
		g.Fatal("the worker is not let in")
	}
	p.Type("connected")
	p.Send(message{"type": "subscribe", "id": 1, "channel": "event:" + topic})
	p.Type("subscribed")
	return p
}

// event is the data of the next event of a topic.
func event(p *peer) message {
	p.Helper()
	m := p.Type("channel_update")["data"].(message)
	data, ok := m["data"].(message)
	if !ok {
		p.Fatal(m)
	}
	return data
}

// change is the next change of a channel in which the data says that it is of a kind.
func change(p *peer, kind string) message {
	p.Helper()
	return p.Until(func(m message) bool {
		data, _ := m["data"].(message)
		return data["type"] == kind
	})["data"].(message)
}

// has says that a message holds what is wanted, whatever else it does.
func has(t testing.TB, got message, want message) {
	t.Helper()
	for k, v := range want {
		if !reflect.DeepEqual(plain(got[k]), plain(v)) {
			t.Errorf("%s is %v, want %v; all of it: %v", k, got[k], v, got)
		}
	}
}

// plain makes values comparable that came as JSON, or are written in a test.
func plain(v any) string { return fmt.Sprint(v) }
