package chat_test

import (
	"fmt"
	"slices"
	"testing"

	"weir/relay/config"
)

// With a data directory rooms, members, messages, read markers and nonces outlive the process.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *config.Config) { c.Data = dir }
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
	g.want(403, "u1", "GET", "/chat/rooms/"+gone, nil)
	if got, _, _ := g.page("u1", room, "limit=3&before=3"); !slices.Equal(got, []string{"0", "1"}) {
		t.Error(got)
	}
}

// The newest message may be a deleted one, or none.
func TestRestartAfterDeletions(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *config.Config) { c.Data = dir }
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

// Rooms may hold messages from before their ids were UUIDs: both kinds page, edit, react, are read and deleted in one room.
func TestRestartWithBothKindsOfIds(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *config.Config) { c.Data = dir }
	g := start(t, keep)
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room
	old := func(position int) string { return fmt.Sprintf("%d-abcdefghijklmnop", position) }
	for i := range 3 {
		g.Backend("POST", "/v1/publish", message{"channel": "chat:log:" + room + ":0", "group": "messages", "key": old(i + 1), "data": message{
			"id": old(i + 1), "roomId": room, "userId": "u1", "content": fmt.Sprint(i), "type": "text", "createdAt": "2026-01-01T00:00:00.000Z",
			"edited": false, "reactions": message{}, "position": i + 1}})
	}
	g.Stop()
	g = start(t, keep)
	ids := []string{old(1), old(2), old(3)}
	for i := 3; i < 300; i++ {
		m := g.send("u1", room, fmt.Sprint(i))
		if m["position"] != float64(i+1) {
			t.Fatal(m)
		}
		ids = append(ids, m["id"].(string))
	}
	if !slices.IsSorted(ids[3:]) {
		t.Error("the ids do not grow")
	}
	for range 2 { // the second time with what is read from disk
		for _, i := range []int{0, 2, 3, 127, 128, 200, 299} {
			m := g.want(200, "u1", "PATCH", path+"/messages/"+ids[i], message{"content": "edited"})
			if m["position"] != float64(i+1) || m["content"] != "edited" {
				t.Error(m)
			}
			g.want(200, "u2", "PUT", path+"/messages/"+ids[i]+"/reactions/ok", nil)
			if m := g.want(200, "u2", "POST", path+"/read", message{"messageId": ids[i]}); m["position"].(float64) < float64(i+1) {
				t.Error(m)
			}
		}
		for before := 300; before > 1; before -= 60 {
			got, _, _ := g.page("u1", room, fmt.Sprintf("limit=60&before=%d", before))
			if want := min(60, before-1); len(got) != want {
				t.Errorf("before %d: %d messages", before, len(got))
			}
		}
		g.want(404, "u1", "PATCH", path+"/messages/01a223ff-6e7e-7621-aa35-2d68d68c9867", message{"content": "x"})
		g.want(404, "u1", "PATCH", path+"/messages/"+old(7), message{"content": "x"})
		g.Stop()
		g = start(t, keep)
	}
	for _, i := range []int{1, 5, 298} {
		g.want(204, "u1", "DELETE", path+"/messages/"+ids[i], nil)
		g.want(404, "u1", "PATCH", path+"/messages/"+ids[i], message{"content": "x"})
	}
	if m := g.send("u1", room, "next"); m["position"] != 301.0 || m["id"].(string) < ids[299] {
		t.Error(m)
	}
}
