package chat_test

import (
	"testing"
	"time"
)

// typing emits a topic of typing, and answers the answer.
func typing(p *peer, topic string, data any) message {
	p.Helper()
	emit(p, topic, data)
	return p.Until(func(m message) bool { return m["id"] == topic })
}

// emit is typing that waits for nothing: a connection that follows the room may get the change before the answer.
func emit(p *peer, topic string, data any) {
	p.Helper()
	p.Send(message{"type": "event", "id": topic, "topic": "chat.typing." + topic, "data": data})
}

// signs is the next change of who types.
func signs(p *peer) (op, user string, data message) {
	p.Helper()
	m := p.Until(func(m message) bool { return m["group"] == "typing" })
	data, _ = m["data"].(message)
	return m["op"].(string), m["key"].(string), data
}

// The row Typing, against the clock: seen at once, gone at once after a stop and 5 seconds after the last start.
func TestTyping(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	a, b := g.follow("u1", "room:"+room), g.follow("u2", "room:"+room)
	before := time.Now()
	if m := typing(a, "start", message{"roomId": room}); m["type"] != "ok" {
		t.Fatal(m)
	}
	op, user, d := signs(b)
	if at := time.UnixMilli(int64(d["startedAt"].(float64))); op != "set" || user != "u1" || d["userId"] != "u1" || at.Before(before.Add(-time.Millisecond)) || time.Since(at) > time.Minute {
		t.Error(op, user, d)
	}
	typing(a, "stop", message{"roomId": room})
	if op, user, _ := signs(b); op != "delete" || user != "u1" {
		t.Error(op, user)
	}
	typing(b, "start", message{"roomId": room})
	started := time.Now()
	m := a.Until(func(m message) bool { return m["key"] == "u2" && m["op"] == "delete" })
	if m["cause"] != "expired" || time.Since(started) < 4900*time.Millisecond {
		t.Error(m, time.Since(started))
	}
}

// The user is the session's, whatever the payload says.
func TestTypingIsNotSpoofed(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2", "u3")
	p := g.follow("u2", "room:"+room)
	emit(p, "start", message{"roomId": room, "userId": "u3"})
	if _, user, d := signs(p); user != "u2" || d["userId"] != "u2" {
		t.Error(user, d)
	}
	typing(g.follow("u3"), "stop", message{"roomId": room, "userId": "u2"})
	emit(p, "stop", message{"roomId": room, "userId": "u3"})
	if op, user, _ := signs(p); op != "delete" || user != "u2" {
		t.Error(op, user)
	}
}

// Only members type.
func TestTypingIsForMembers(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	p := g.follow("u9")
	for _, x := range []struct {
		data any
		code string
	}{
		{message{"roomId": room}, "forbidden"}, {message{"roomId": room, "userId": "u1"}, "forbidden"}, {message{"roomId": "none"}, "forbidden"},
		{message{}, "bad_request"}, {nil, "bad_request"}, {7, "bad_request"}, {message{"roomId": 7}, "bad_request"}, {message{"roomId": "a b"}, "bad_request"},
	} {
		if m := typing(p, "start", x.data); m["type"] != "error" || m["code"] != x.code {
			t.Error(x, m)
		}
	}
	member := g.follow("u2", "room:"+room)
	g.send("u1", room, "end")
	if m := member.Until(func(m message) bool { return m["group"] == "typing" || m["group"] == "messages" }); m["group"] != "messages" {
		t.Error(m)
	}
}

// Sending clears it, before the message comes.
func TestTypingEndsWithTheMessage(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	p, q := g.follow("u2", "room:"+room), g.follow("u1")
	typing(q, "start", message{"roomId": room})
	signs(p)
	g.send("u1", room, "said")
	seen := map[any]bool{}
	for len(seen) < 2 {
		m := p.Type("channel_update")
		if m["group"] == "typing" && m["op"] != "delete" {
			t.Error(m)
		}
		seen[m["group"]] = true
	}
}

// The end of the connection that types clears it; that of another does not. So does the end of the membership.
func TestTypingEndsWithTheConnection(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2", "u3")
	p, other, q := g.follow("u1", "room:"+room), g.follow("u2"), g.follow("u2")
	typing(q, "start", message{"roomId": room})
	signs(p)
	other.Close()
	typing(g.follow("u3"), "start", message{"roomId": room})
	if op, user, _ := signs(p); op != "set" || user != "u3" {
		t.Error(op, user)
	}
	q.Drop()
	if op, user, _ := signs(p); op != "delete" || user != "u2" {
		t.Error(op, user)
	}
	g.want(204, "u1", "DELETE", "/chat/rooms/"+room+"/members/u3", nil)
	if op, user, _ := signs(p); op != "delete" || user != "u3" {
		t.Error(op, user)
	}
}

// A backend may say it for a user it names.
func TestTypingOfABackend(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	p := g.follow("u1", "room:"+room)
	for _, x := range []struct {
		status int
		data   message
	}{{202, message{"roomId": room, "userId": "u2"}}, {403, message{"roomId": room, "userId": "u9"}}, {400, message{"roomId": room}}} {
		if status, out := g.Backend("POST", "/v1/events", message{"topic": "chat.typing.start", "data": x.data}); status != x.status {
			t.Error(x, status, out)
		}
	}
	if _, user, _ := signs(p); user != "u2" {
		t.Error(user)
	}
}

// A command that is posted is its user's, too.
func TestTypingIsPosted(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	p := g.follow("u1", "room:"+room)
	for _, user := range []string{"u9", "u2"} { // u9 is no member, whoever they say they are
		g.As(user, "POST", "/command", message{"type": "event", "id": 1, "topic": "chat.typing.start", "data": message{"roomId": room, "userId": "u1"}})
	}
	if _, user, _ := signs(p); user != "u2" {
		t.Error(user)
	}
}
