package chat_test

import (
	"fmt"
	"slices"
	"testing"

	"weir/relay"
)

// With a data directory rooms, members, messages, read markers and nonces outlive the process.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *relay.Config) { c.Data = dir }
	g := start(t, keep)
	room := g.room(message{"description": "d", "isPrivate": true}, "u2", "u3")
	path := "/chat/rooms/" + room
	for i := range 200 {
		g.send("u1", room, fmt.Sprint(i))
	}
	once := g.want(201, "u2", "POST", path+"/messages", message{"content": "once", "nonce": "n", "metadata": message{"k": 1}})
	deleted := g.want(201, "u2", "POST", path+"/messages", message{"content": "deleted", "nonce": "d"})
	g.want(204, "u2", "DELETE", path+"/messages/"+deleted["id"].(string), nil)
	g.want(200, "u1", "PUT", path+"/messages/"+once["id"].(string)+"/reactions/ok", nil)
	g.want(200, "u1", "PATCH", path+"/messages/"+g.send("u1", room, "last")["id"].(string), message{"content": "edited"})
	g.want(200, "u3", "POST", path+"/read", message{"position": 190})
	g.want(204, "u1", "DELETE", path+"/members/u2", nil)
	gone := g.room(nil)
	g.send("u1", gone, "x")
	g.want(204, "u1", "POST", "/chat/rooms/"+gone+"/leave", nil)
	var before []string
	for _, user := range []string{"u1", "u3"} {
		before = append(before, fmt.Sprint(g.want(200, user, "GET", path, nil), g.want(200, user, "GET", path+"/messages?limit=100", nil), g.list(user, 10)))
	}
	g.Stop()

	g = start(t, keep)
	for i, user := range []string{"u1", "u3"} {
		if got := fmt.Sprint(g.want(200, user, "GET", path, nil), g.want(200, user, "GET", path+"/messages?limit=100", nil), g.list(user, 10)); got != before[i] {
			t.Errorf("%s\nbefore %s\nafter  %s", user, before[i], got)
		}
	}
	if got := g.members("u1", room); !slices.Equal(got, []string{"u1", "u3"}) {
		t.Error(got)
	}
	p := g.follow("u3", "room:"+room)
	stranger := g.follow("u2")
	stranger.Send(message{"type": "subscribe", "id": 1, "channel": "room:" + room})
	if m := stranger.Type("error"); m["code"] != "forbidden" {
		t.Error(m)
	}
	g.want(201, "u1", "POST", path+"/members", message{"userId": "u2"})
	if again := g.want(201, "u2", "POST", path+"/messages", message{"content": "once more", "nonce": "n"}); again["id"] != once["id"] {
		t.Error(again)
	}
	g.want(409, "u2", "POST", path+"/messages", message{"content": "x", "nonce": "d"})
	next := g.send("u1", room, "next")
	if next["position"] != float64(204) {
		t.Error(next)
	}
	change(p, "new_message")
	g.want(404, "u1", "GET", "/chat/rooms/"+gone, nil)
	if got, _, _ := g.page("u1", room, "limit=3&before=3"); !slices.Equal(got, []string{"0", "1"}) {
		t.Error(got)
	}
}

// The newest message may be a deleted one, or none.
func TestRestartAfterDeletions(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *relay.Config) { c.Data = dir }
	g := start(t, keep)
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room
	for i := range 130 { // into the second block
		g.send("u1", room, fmt.Sprint(i))
	}
	_, positions, _ := g.page("u1", room, "limit=3")
	list := g.want(200, "u1", "GET", path+"/messages?limit=3", nil)["messages"].([]any)
	for _, m := range list {
		g.want(204, "u1", "DELETE", path+"/messages/"+m.(message)["id"].(string), nil)
	}
	g.Stop()
	g = start(t, keep)
	d := g.want(200, "u2", "GET", path, nil)
	if d["position"] != float64(positions[2]) || d["lastMessage"].(message)["content"] != "126" || d["unread"] != float64(127) {
		t.Error(d)
	}
	if m := g.send("u1", room, "next"); m["position"] != float64(131) {
		t.Error(m)
	}
}
