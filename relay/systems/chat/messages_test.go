package chat_test

import (
	"reflect"
	"strings"
	"testing"

	"weir/relay/auth"
)

// The row Messages.
func TestMessages(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	path := "/chat/rooms/" + room + "/messages"
	worker, p := g.listen("chat.message.sent"), g.follow("u2", "room:"+room)
	before := g.want(200, "u1", "GET", "/chat/rooms/"+room, nil)
	token := g.Token("u1", func(c *auth.Claims) { c.Name, c.Avatar = "One", "/1.png" })
	status, out := g.Call(token, "POST", path, message{"content": "hello", "type": "image", "metadata": message{"w": 3}})
	d, _ := out.(message)
	if status != 201 {
		t.Fatal(status, out)
	}
	has(t, d, message{"roomId": room, "userId": "u1", "content": "hello", "type": "image", "metadata": message{"w": 3}, "edited": false, "reactions": message{}})
	if d["id"] == "" || d["createdAt"] == "" {
		t.Error(d)
	}
	told := change(p, "new_message")
	has(t, told, message{"user": message{"id": "u1", "name": "One", "avatar": "/1.png"}, "message": d})
	has(t, event(worker), message{"roomId": room, "messageId": d["id"], "userId": "u1", "members": []string{"u1", "u2"}})
	after := g.want(200, "u1", "GET", "/chat/rooms/"+room, nil)
	has(t, after, message{"lastActivity": d["createdAt"], "lastMessage": message{"messageId": d["id"], "content": "hello", "userId": "u1"}})
	if before["lastMessage"] != nil {
		t.Error(before)
	}
	if d := g.send("u1", room, "plain"); d["type"] != "text" || d["metadata"] != nil {
		t.Error(d)
	}
}

// Who is not a member gets this answer, to the letter.
func TestNotAMember(t *testing.T) {
	g := start(t, nil)
	for _, private := range []bool{true, false} {
		path := "/chat/rooms/" + g.room(message{"isPrivate": private}, "u2") + "/messages"
		status, _, _ := g.Do("POST", path, message{"content": "x"}, "Authorization: Bearer "+g.Token("u9"))
		if status != 403 {
			t.Error(status)
		}
		if m := g.want(403, "u9", "POST", path, message{"content": "x"}); len(m) != 1 || m["error"] != "Not a member of this room" {
			t.Error(m)
		}
		if m := g.want(403, "u9", "GET", path, nil); m["error"] != "Not a member of this room" {
			t.Error(m)
		}
	}
}

// A missing room is told from one of others by nothing, and nothing is kept of the message.
func TestMissingRoom(t *testing.T) {
	g := start(t, nil)
	others := g.want(201, "u2", "POST", "/chat/rooms", message{"name": "n", "isPrivate": true})["id"].(string)
	for _, ask := range []struct{ method, path string }{{"POST", "/messages"}, {"GET", ""}, {"GET", "/messages"}, {"GET", "/members"}, {"POST", "/join"}, {"POST", "/leave"},
		{"POST", "/read"}, {"PATCH", "/messages/x"}, {"DELETE", "/messages/x"}, {"PUT", "/messages/x/reactions/ok"}, {"DELETE", "/members/u1"}} {
		want := g.want(403, "u1", ask.method, "/chat/rooms/"+others+ask.path, message{"content": "x"})
		if ask.path == "/messages" && want["error"] != "Not a member of this room" {
			t.Error(want)
		}
		for _, id := range []string{"none", "a%20b", strings.Repeat("x", 65), "01a223ff-6e7e-7621-aa35-2d68d68c9867"} {
			if got := g.want(403, "u1", ask.method, "/chat/rooms/"+id+ask.path, message{"content": "x"}); !reflect.DeepEqual(got, want) {
				t.Error(ask, id, got, want)
			}
		}
	}
	g.want(204, "u2", "POST", "/chat/rooms/"+others+"/leave", nil)
	if _, out := g.Backend("GET", "/v1/channels?prefix=chat", nil); len(out.(message)["channels"].([]any)) != 0 {
		t.Error(out)
	}
}

func TestMessageValidation(t *testing.T) {
	g := start(t, nil)
	path := "/chat/rooms/" + g.room(nil) + "/messages"
	for _, tt := range []struct {
		body   any
		status int
		field  string
	}{
		{message{"content": ""}, 400, "content"},
		{message{}, 400, "content"},
		{message{"content": strings.Repeat("x", 1001)}, 400, "content"},
		{message{"content": strings.Repeat("é", 1001)}, 400, "content"},
		{message{"content": strings.Repeat("😅", 1000)}, 201, ""},
		{message{"content": []int{1}}, 400, "content"},
		{message{"content": "x", "type": "video"}, 400, "type"},
		{message{"content": "x", "type": ""}, 400, "type"},
		{message{"content": "x", "type": 1}, 400, "type"},
		{message{"content": "x", "metadata": []int{1}}, 400, "metadata"},
		{message{"content": "x", "metadata": "y"}, 400, "metadata"},
		{message{"content": "x", "metadata": message{"k": strings.Repeat("v", 8<<10)}}, 400, "metadata"},
		{"{\"content\":\"x\",\"metadata\":{\n\"a\":1\n}}", 201, ""},
		{message{"content": "x", "nonce": strings.Repeat("n", 65)}, 400, "nonce"},
		{message{"content": "<&>\u2028\"\\\u0000"}, 201, ""},
	} {
		status, out := g.As("u1", "POST", path, tt.body)
		m, _ := out.(message)
		if status != tt.status || tt.field != "" && (m["field"] != tt.field || !strings.Contains(m["error"].(string), tt.field)) {
			t.Errorf("%v: %d %v", tt.body, status, out)
		}
	}
	if m := g.want(400, "u1", "POST", path, `{"content":tru}`); m["code"] != "invalid_json" || !strings.HasSuffix(m["error"].(string), "at byte 11") {
		t.Error("where it is no JSON is not said:", m)
	}
}
