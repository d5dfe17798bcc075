package chat_test

import (
	"fmt"
	"slices"
	"testing"

	"weir/relay/config"
	"weir/relay/systems/chat"
)

// members is who a room says its members are.
func (g *rig) members(user, room string) []string {
	g.Helper()
	var ids []string
	list, _ := g.want(200, user, "GET", "/chat/rooms/"+room, nil)["members"].([]any)
	for _, id := range list {
		ids = append(ids, id.(string))
	}
	return ids
}

// list is the ids of a user's rooms, page by page.
func (g *rig) list(user string, limit int) []string {
	g.Helper()
	var ids []string
	for after := ""; ; {
		d := g.want(200, user, "GET", fmt.Sprintf("/chat/rooms?limit=%d&after=%s", limit, after), nil)
		page := d["rooms"].([]any)
		if len(page) > limit {
			g.Fatal("a page of", len(page))
		}
		for _, r := range page {
			ids = append(ids, r.(message)["id"].(string))
		}
		next, more := d["next"].(string)
		if !more {
			return ids
		}
		after = next
	}
}

// A public room is open to everybody who joins; joining twice changes nothing.
func TestJoin(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room
	worker, p := g.listen("chat.member.added"), g.follow("u1", "room:"+room)
	if d := g.want(200, "u3", "GET", path, nil); d["unread"] != nil || d["lastMessage"] != nil {
		t.Error("a stranger sees", d)
	}
	g.want(403, "u3", "POST", path+"/messages", message{"content": "x"})
	d := g.want(201, "u3", "POST", path+"/join", nil)
	has(t, d, message{"members": []string{"u1", "u2", "u3"}, "memberCount": 3})
	has(t, change(p, "member_added"), message{"by": "u3"})
	has(t, event(worker), message{"roomId": room, "userId": "u3", "by": "u3", "members": []string{"u1", "u2", "u3"}})
	g.want(200, "u3", "POST", path+"/join", nil)
	g.send("u3", room, "hello")
	if got := g.members("u1", room); !slices.Equal(got, []string{"u1", "u2", "u3"}) {
		t.Error(got)
	}
}

// A private room is private: it cannot be seen, read, followed or joined by others.
func TestPrivateRoom(t *testing.T) {
	g := start(t, nil)
	room := g.room(message{"isPrivate": true}, "u2")
	path := "/chat/rooms/" + room
	g.send("u1", room, "secret")
	for _, x := range []struct{ method, path string }{
		{"GET", ""}, {"POST", "/join"}, {"POST", "/leave"}, {"GET", "/members"}, {"GET", "/messages"}, {"POST", "/read"}, {"DELETE", "/members/u2"},
	} {
		g.want(403, "u9", x.method, path+x.path, nil)
	}
	g.want(403, "u9", "POST", path+"/members", message{"userId": "u9"})
	p := g.follow("u9")
	for _, channel := range []string{"room:" + room, "presence:room:" + room, "chat:room:" + room, "chat:log:" + room + ":0", "chat-user:u1"} {
		p.Send(message{"type": "subscribe", "id": 1, "channel": channel})
		if m := p.Until(func(m message) bool { return m["id"] == float64(1) }); m["code"] != "forbidden" {
			t.Error(channel, m)
		}
	}
	for _, kind := range []string{"history", "presence"} {
		p.Send(message{"type": kind, "id": 2, "channel": "room:" + room})
		if m := p.Until(func(m message) bool { return m["id"] == float64(2) }); m["code"] != "forbidden" {
			t.Error(kind, m)
		}
	}
	g.want(201, "u2", "POST", path+"/members", message{"userId": "u9"})
	g.want(200, "u9", "GET", path, nil)
	g.follow("u9", "room:"+room)
}

// Nobody publishes into a room but through the routes: what is told there has happened.
func TestNobodyForges(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	p := g.follow("u2", "room:"+room)
	p.Send(message{"type": "publish", "id": 1, "channel": "room:" + room, "data": message{"type": "new_message", "message": message{"userId": "u1"}}})
	if m := p.Type("error"); m["code"] != "forbidden" {
		t.Error(m)
	}
}

// Members learn of rooms on their own channel, wherever they are connected.
func TestMembersAreTold(t *testing.T) {
	g := start(t, nil)
	one, two := g.follow("u1"), g.follow("u2")
	room := g.room(nil, "u2")
	for _, p := range []*peer{one, two} {
		m := p.Type("update")
		d := m["data"].(message)
		if m["key"] != room || m["group"] != "rooms" || d["type"] != "room_added" || d["by"] != "u1" || d["room"].(message)["id"] != room {
			t.Error(m)
		}
	}
	three := g.follow("u3")
	g.want(201, "u1", "POST", "/chat/rooms/"+room+"/members", message{"userId": "u3"})
	if d := change(three, "room_added"); d["room"].(message)["name"] != "n" {
		t.Error(d)
	}
	g.want(204, "u1", "DELETE", "/chat/rooms/"+room+"/members/u3", nil)
	has(t, change(three, "room_removed"), message{"roomId": room, "by": "u1"})
}

// Removing a member cuts the live subscription, and that to who is there, with unsubscribed.
func TestRemovalCutsSubscriptions(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2", "u3")
	worker := g.listen("chat.member.removed")
	p, q := g.follow("u2", "room:"+room, "presence:room:"+room), g.follow("u3", "room:"+room)
	g.want(403, "u2", "DELETE", "/chat/rooms/"+room+"/members/u3", nil) // only the owner
	g.want(404, "u1", "DELETE", "/chat/rooms/"+room+"/members/u9", nil)
	g.want(204, "u1", "DELETE", "/chat/rooms/"+room+"/members/u2", nil)
	lost := []string{p.Type("unsubscribed")["channel"].(string), p.Type("unsubscribed")["channel"].(string)}
	if !slices.Contains(lost, "room:"+room) || !slices.Contains(lost, "presence:room:"+room) {
		t.Error(lost)
	}
	g.send("u1", room, "among ourselves")
	change(q, "member_removed")
	change(q, "new_message")
	p.Send(message{"type": "ping", "id": "end"})
	p.Until(func(m message) bool {
		if m["channel"] == "room:"+room {
			t.Error("still told", m)
		}
		return m["type"] == "pong"
	})
	p.Send(message{"type": "subscribe", "id": 1, "channel": "room:" + room})
	if m := p.Type("error"); m["code"] != "forbidden" {
		t.Error(m)
	}
	g.want(403, "u2", "POST", "/chat/rooms/"+room+"/messages", message{"content": "x"})
	has(t, event(worker), message{"roomId": room, "userId": "u2", "by": "u1", "members": []string{"u1", "u3"}})
}

// Who has been there longest owns the room; with the last member it goes, and all that was said.
func TestLeave(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2", "u3")
	path := "/chat/rooms/" + room
	worker := g.listen("chat.room.deleted")
	g.send("u1", room, "hello")
	g.want(204, "u1", "POST", path+"/leave", nil)
	g.want(403, "u1", "POST", path+"/leave", nil)
	g.want(204, "u2", "DELETE", path+"/members/u3", nil)
	p := g.follow("u2", "room:"+room)
	p.Send(message{"type": "ping"})
	p.Type("pong") // a subscription is looked at once more behind its answer, and that would name no reason
	g.want(204, "u2", "DELETE", path+"/members/u2", nil)
	if m := p.Type("unsubscribed"); m["reason"] != "left the room" {
		t.Error(m)
	}
	has(t, event(worker), message{"roomId": room, "userId": "u2"})
	g.want(403, "u2", "GET", path, nil)
	g.want(403, "u2", "POST", path+"/join", nil)
	g.want(403, "u2", "POST", path+"/messages", message{"content": "x"})
	for _, user := range []string{"u1", "u2", "u3"} {
		if got := g.list(user, 10); len(got) != 0 {
			t.Error(user, got)
		}
	}
	if _, out := g.Backend("GET", "/v1/channels?prefix=chat", nil); len(out.(message)["channels"].([]any)) != 0 {
		t.Error("something is left", out)
	}
}

// Rooms are listed a page at a time, each once, the one joined last first; only one's own.
func TestListRooms(t *testing.T) {
	g := start(t, nil)
	var want []string
	for i := range 7 {
		room := g.want(201, "u2", "POST", "/chat/rooms", message{"name": fmt.Sprint(i), "members": []string{"u1"}})["id"].(string)
		want = append(want, room)
	}
	other := g.want(201, "u2", "POST", "/chat/rooms", message{"name": "other"})["id"].(string)
	slices.Sort(want)
	for _, limit := range []int{1, 3, 7, 100} {
		got := g.list("u1", limit)
		slices.Sort(got) // rooms made in one millisecond come in any order
		if !slices.Equal(got, want) {
			t.Error(limit, got, want)
		}
	}
	if slices.Contains(g.list("u1", 100), other) || len(g.list("u2", 100)) != 8 {
		t.Error("the rooms of others")
	}
	if d := g.want(200, "u9", "GET", "/chat/rooms", nil); fmt.Sprint(d) != "map[rooms:[]]" {
		t.Error(d)
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "after=x"} {
		g.want(400, "u1", "GET", "/chat/rooms?"+query, nil)
	}
}

// Members and rooms of a user are bounded, and the answer says so.
func TestBounds(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[chat.Config](c).Members, config.Of[chat.Config](c).Rooms = 3, 2 })
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room
	g.want(201, "u3", "POST", path+"/join", nil)
	if d := g.want(409, "u4", "POST", path+"/join", nil); d["code"] != "room_full" {
		t.Error(d)
	}
	g.want(200, "u3", "POST", path+"/join", nil) // who is there already is no problem
	second := g.room(nil)
	if d := g.want(409, "u1", "POST", "/chat/rooms", message{"name": "n"}); d["code"] != "too_many_rooms" {
		t.Error(d)
	}
	g.want(201, "u2", "POST", "/chat/rooms", message{"name": "n"})
	if d := g.want(409, "u4", "POST", "/chat/rooms", message{"name": "n", "members": []string{"u5", "u2"}}); d["code"] != "too_many_rooms" || d["field"] != "members" {
		t.Error(d)
	}
	if len(g.list("u4", 10)) != 0 || len(g.list("u5", 10)) != 0 {
		t.Error("a room that was refused is listed")
	}
	if d := g.want(409, "u2", "POST", "/chat/rooms/"+second+"/join", nil); d["code"] != "too_many_rooms" {
		t.Error(d)
	}
	if d := g.want(409, "u1", "POST", "/chat/rooms/"+second+"/members", message{"userId": "u2"}); d["code"] != "too_many_rooms" || d["field"] != "userId" {
		t.Error(d)
	}
	if got := g.members("u1", second); !slices.Equal(got, []string{"u1"}) {
		t.Error(got)
	}
	g.want(204, "u2", "POST", path+"/leave", nil)
	g.want(201, "u2", "POST", "/chat/rooms/"+second+"/join", nil)
	g.want(400, "u1", "POST", "/chat/rooms/"+second+"/members", message{})
	g.want(400, "u1", "POST", "/chat/rooms/"+second+"/members", message{"userId": ""})
}

// Users may have any id that a token may.
func TestOddUsers(t *testing.T) {
	g := start(t, nil)
	odd := "auth0|7 é😅/" + fmt.Sprintf("%040d", 7)
	room := g.room(nil, odd)
	p := g.follow(odd, "room:"+room)
	g.send(odd, room, "hello")
	has(t, change(p, "new_message"), message{"user": message{"id": odd, "name": "AUTH0|7 É😅/" + fmt.Sprintf("%040d", 7), "avatar": ""}})
	p.Send(message{"type": "event", "id": 1, "topic": "chat.typing.start", "data": message{"roomId": room}})
	p.Until(func(m message) bool { return m["group"] == "typing" })
	g.want(204, "u1", "DELETE", "/chat/rooms/"+room+"/members/auth0%7C7%20%C3%A9%F0%9F%98%85%2F"+fmt.Sprintf("%040d", 7), nil)
	p.Type("unsubscribed")
}

// What the relay cannot have known of a subscription when access was taken away ends all the same.
func TestRemovalDuringSubscribe(t *testing.T) {
	g := start(t, nil)
	for range 30 {
		room := g.room(nil, "u2")
		p := g.follow("u2")
		ended := make(chan struct{})
		go func() { // ends by itself, and is waited for
			defer close(ended)
			g.As("u1", "DELETE", "/chat/rooms/"+room+"/members/u2", nil)
		}()
		p.Send(message{"type": "subscribe", "id": 1, "channel": "room:" + room})
		<-ended
		p.Send(message{"type": "unsubscribe", "id": 2, "channel": "room:" + room})
		if m := p.Until(func(m message) bool { return m["id"] == float64(2) }); m["code"] != "not_subscribed" {
			t.Fatal("u2 is still subscribed", m)
		}
		p.Drop()
	}
}
