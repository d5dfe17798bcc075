package chat_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"weir/relay/config"
	"weir/relay/systems/chat"
)

// page is the contents of a page of messages, its positions, and whether there are older ones.
func (g *rig) page(user, room, query string) (contents []string, positions []uint64, more bool) {
	g.Helper()
	d := g.want(200, user, "GET", "/chat/rooms/"+room+"/messages?"+query, nil)
	for _, x := range d["messages"].([]any) {
		contents = append(contents, x.(message)["content"].(string))
		positions = append(positions, uint64(x.(message)["position"].(float64)))
	}
	return contents, positions, d["more"].(bool)
}

// Messages are read a page at a time, backwards by position, across blocks.
func TestHistory(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	if got, _, more := g.page("u2", room, ""); len(got) != 0 || more {
		t.Error(got, more)
	}
	const all = 300
	for i := range all {
		g.send("u1", room, fmt.Sprint(i))
	}
	for _, limit := range []int{1, 7, 100} {
		end, before := all, ""
		for more := true; more; {
			var contents []string
			var positions []uint64
			contents, positions, more = g.page("u2", room, fmt.Sprintf("limit=%d%s", limit, before))
			for i, c := range contents {
				if want := end - len(contents) + i; c != fmt.Sprint(want) || positions[i] != uint64(want+1) {
					t.Fatal(limit, before, c, positions[i], want)
				}
			}
			if end -= len(contents); more != (end > 0) {
				t.Fatal(limit, end, more)
			}
			before = fmt.Sprint("&before=", positions[0])
			if limit == 1 && end < all-3 {
				break
			}
		}
	}
	if got, _, more := g.page("u2", room, "before=1"); len(got) != 0 || more {
		t.Error(got, more)
	}
	if got, _, _ := g.page("u2", room, "before=99999&limit=1"); got[0] != fmt.Sprint(all-1) {
		t.Error(got)
	}
	for _, query := range []string{"limit=0", "limit=101", "before=x", "before=-1"} {
		g.want(400, "u2", "GET", "/chat/rooms/"+room+"/messages?"+query, nil)
	}
}

// A room keeps as many messages as it is told to at least, and not many more; positions go on.
func TestRetention(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[chat.Config](c).Messages = 100 })
	room := g.room(nil, "u2")
	first := g.send("u1", room, "first")
	g.want(204, "u1", "DELETE", "/chat/rooms/"+room+"/messages/"+first["id"].(string), nil)
	second := g.send("u1", room, "second")
	for i := 2; i < 500; i++ {
		g.send("u1", room, fmt.Sprint(i))
	}
	kept := 0
	before := ""
	for more := true; more; {
		var positions []uint64
		_, positions, more = g.page("u2", room, "limit=100"+before)
		kept += len(positions)
		before = fmt.Sprint("&before=", positions[0])
	}
	if kept < 100 || kept > 100+2*128 {
		t.Error("kept", kept)
	}
	g.want(404, "u1", "PATCH", "/chat/rooms/"+room+"/messages/"+second["id"].(string), message{"content": "x"})
	if d := g.want(200, "u2", "GET", "/chat/rooms/"+room, nil); d["unread"] != float64(kept) || d["position"] != float64(500) {
		t.Error(d, kept)
	}
	_, out := g.Backend("GET", "/v1/channels?prefix=chat:log", nil)
	if list := out.(message)["channels"].([]any); len(list) > 3 {
		t.Error("blocks that are left", list)
	}
}

// A nonce makes sending idempotent: the earlier message is answered, and nobody hears it twice.
func TestNonce(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room + "/messages"
	worker, p := g.listen("chat.message.sent"), g.follow("u2", "room:"+room)
	body := message{"content": "hello", "nonce": "n1"}
	first := g.want(201, "u1", "POST", path, body)
	again := g.want(201, "u1", "POST", path, message{"content": "other", "nonce": "n1"})
	if fmt.Sprint(first) != fmt.Sprint(again) || first["nonce"] != "n1" {
		t.Error(first, again)
	}
	if other := g.want(201, "u2", "POST", path, body); other["id"] == first["id"] {
		t.Error("another user's nonce")
	}
	elsewhere := g.room(nil)
	if other := g.want(201, "u1", "POST", "/chat/rooms/"+elsewhere+"/messages", body); other["id"] == first["id"] {
		t.Error("another room's nonce")
	}
	last := g.send("u1", room, "last")
	for i, want := range []any{first["id"], nil, last["id"]} {
		d := change(p, "new_message")["message"].(message)
		if want != nil && d["id"] != want {
			t.Error(i, d)
		}
	}
	if e := event(worker); e["messageId"] != first["id"] {
		t.Error(e)
	}
	if e := event(worker); e["userId"] != "u2" {
		t.Error(e)
	}
	g.want(204, "u1", "DELETE", path+"/"+first["id"].(string), nil)
	if d := g.want(409, "u1", "POST", path, body); d["field"] != "nonce" {
		t.Error(d)
	}
}

// Its author edits a message; everybody who follows the room is told, and the room says so.
func TestEdit(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	worker, p := g.listen("chat.message.edited"), g.follow("u2", "room:"+room)
	m := g.want(201, "u1", "POST", "/chat/rooms/"+room+"/messages", message{"content": "a", "type": "file", "metadata": message{"k": 1}})
	path := "/chat/rooms/" + room + "/messages/" + m["id"].(string)
	d := g.want(200, "u1", "PATCH", path, message{"content": "b", "type": "image"})
	has(t, d, message{"id": m["id"], "content": "b", "type": "file", "metadata": message{"k": 1}, "edited": true, "createdAt": m["createdAt"]})
	has(t, change(p, "message_edited"), message{"message": d})
	has(t, event(worker), message{"roomId": room, "messageId": m["id"], "userId": "u1", "members": []string{"u1", "u2"}})
	has(t, g.want(200, "u1", "GET", "/chat/rooms/"+room, nil), message{"lastMessage": message{"messageId": m["id"], "content": "b", "userId": "u1"}})
	g.want(403, "u2", "PATCH", path, message{"content": "c"})
	g.want(403, "u9", "PATCH", path, message{"content": "c"})
	for _, bad := range []any{message{}, message{"content": ""}, message{"content": strings.Repeat("é", 1001)}} {
		g.want(400, "u1", "PATCH", path, bad)
	}
	for _, id := range []string{"none", "1-none", "0-x", "99-none", "a%20b"} {
		g.want(404, "u1", "PATCH", "/chat/rooms/"+room+"/messages/"+id, message{"content": "c"})
	}
	if got, _, _ := g.page("u2", room, ""); fmt.Sprint(got) != "[b]" {
		t.Error(got)
	}
}

// A deleted message is gone from the pages, the room and the counts; positions are not given twice.
func TestDelete(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	worker, p := g.listen("chat.message.deleted"), g.follow("u2", "room:"+room)
	a, b, c := g.send("u1", room, "a"), g.send("u2", room, "b"), g.send("u1", room, "c")
	path := func(m message) string { return "/chat/rooms/" + room + "/messages/" + m["id"].(string) }
	g.want(403, "u2", "DELETE", path(c), nil)
	g.want(204, "u1", "DELETE", path(c), nil)
	has(t, change(p, "message_deleted"), message{"messageId": c["id"], "userId": "u1", "roomId": room})
	has(t, event(worker), message{"messageId": c["id"], "members": []string{"u1", "u2"}})
	has(t, g.want(200, "u1", "GET", "/chat/rooms/"+room, nil), message{"lastMessage": message{"messageId": b["id"], "content": "b", "userId": "u2"}})
	g.want(200, "u2", "PATCH", path(b), message{"content": "bb"}) // what is the last one now is shown as it is now
	has(t, g.want(200, "u1", "GET", "/chat/rooms/"+room, nil), message{"lastMessage": message{"messageId": b["id"], "content": "bb", "userId": "u2"}})
	g.want(204, "u1", "DELETE", path(b), nil) // the owner may
	g.want(404, "u1", "DELETE", path(b), nil)
	g.want(404, "u1", "DELETE", "/chat/rooms/"+room+"/messages/none", nil)
	g.want(204, "u1", "DELETE", path(a), nil)
	if d := g.want(200, "u2", "GET", "/chat/rooms/"+room, nil); d["lastMessage"] != nil || d["unread"] != float64(0) {
		t.Error(d)
	}
	d := g.send("u1", room, "d")
	if d["position"] != float64(4) {
		t.Error(d)
	}
	if got, at, more := g.page("u2", room, ""); fmt.Sprint(got, at, more) != "[d] [4] false" {
		t.Error(got, at, more)
	}
}

// Each user reacts once with each reaction.
func TestReactions(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	added, removed, p := g.listen("chat.reaction.added"), g.listen("chat.reaction.removed"), g.follow("u2", "room:"+room)
	m := g.send("u1", room, "a")
	path := "/chat/rooms/" + room + "/messages/" + m["id"].(string) + "/reactions/"
	thumb := url.PathEscape("👍🏽")
	g.want(200, "u1", "PUT", path+thumb, nil)
	has(t, change(p, "reaction_added"), message{"messageId": m["id"], "userId": "u1", "reaction": "👍🏽"})
	has(t, event(added), message{"roomId": room, "messageId": m["id"], "userId": "u1", "reaction": "👍🏽"})
	g.want(200, "u1", "PUT", path+thumb, nil) // no news
	d := g.want(200, "u2", "PUT", path+thumb, nil)
	has(t, d, message{"reactions": message{"👍🏽": []string{"u1", "u2"}}, "edited": false})
	has(t, change(p, "reaction_added"), message{"userId": "u2"})
	g.want(200, "u1", "DELETE", path+thumb, nil)
	has(t, change(p, "reaction_removed"), message{"userId": "u1"})
	has(t, event(removed), message{"userId": "u1"})
	g.want(200, "u1", "DELETE", path+"none", nil)
	d = g.want(200, "u2", "DELETE", path+thumb, nil)
	has(t, d, message{"reactions": message{}})
	g.want(400, "u1", "PUT", path+strings.Repeat("x", 33), nil)
	g.want(400, "u1", "PUT", path+"a%0Ab", nil)
	g.want(403, "u9", "PUT", path+thumb, nil)
	for i := range 20 {
		g.want(200, "u1", "PUT", path+fmt.Sprint("r", i), nil)
	}
	if d := g.want(409, "u1", "PUT", path+"r20", nil); d["code"] != "too_many_reactions" {
		t.Error(d)
	}
	g.want(200, "u2", "PUT", path+"r0", nil)
}

// Read markers go forward only, count what is unread, and are told to the others and to one's own connections.
func TestReadMarkers(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room
	one, two := g.follow("u1", "room:"+room), g.follow("u2")
	var sent []message
	for i := range 5 {
		sent = append(sent, g.send("u1", room, fmt.Sprint(i)))
	}
	unread := func(user string, want float64) {
		t.Helper()
		if d := g.want(200, user, "GET", path, nil); d["unread"] != want {
			t.Error(user, d)
		}
	}
	unread("u1", 0) // one's own are read
	unread("u2", 5)
	has(t, g.want(200, "u2", "POST", path+"/read", message{"messageId": sent[1]["id"]}), message{"roomId": room, "position": 2, "unread": 3})
	has(t, change(one, "read"), message{"userId": "u2", "position": 2})
	has(t, change(two, "room_read"), message{"roomId": room, "position": 2, "unread": 3})
	g.want(204, "u1", "DELETE", path+"/messages/"+sent[3]["id"].(string), nil)
	unread("u2", 2)
	has(t, g.want(200, "u2", "POST", path+"/read", message{"position": 1}), message{"position": 2, "unread": 2})
	has(t, g.want(200, "u2", "POST", path+"/read", message{"position": 99}), message{"position": 5, "unread": 0})
	g.send("u1", room, "more")
	unread("u2", 1)
	has(t, g.want(200, "u2", "POST", path+"/read", nil), message{"position": 6, "unread": 0})
	list := g.want(200, "u1", "GET", path+"/members", nil)["members"].([]any)
	has(t, list[1].(message), message{"id": "u2", "read": 6})
	g.want(201, "u3", "POST", path+"/join", nil) // what was said before is not unread
	unread("u3", 0)
	g.send("u2", room, "and more")
	unread("u3", 1)
	if d := g.want(200, "u3", "GET", "/chat/rooms", nil)["rooms"].([]any)[0].(message); d["unread"] != float64(1) || d["members"] != nil || d["memberCount"] != float64(3) {
		t.Error(d)
	}
	for _, bad := range []any{message{"position": 1, "messageId": sent[0]["id"]}, message{"messageId": "x"}, message{"position": -1}, message{"position": "x"}} {
		g.want(400, "u2", "POST", path+"/read", bad)
	}
	g.want(403, "u9", "POST", path+"/read", nil)
}
