package chat_test

import (
	"strings"
	"testing"

	"weir/relay/config"
	"weir/relay/systems/chat"
)

// The row Rooms.
func TestRooms(t *testing.T) {
	g := start(t, nil)
	worker := g.listen("chat.room.created")
	d := g.want(201, "u1", "POST", "/chat/rooms", message{"name": "Kitchen", "description": "food", "members": []string{"u2", "u1", "u3", "u2"}})
	has(t, d, message{"name": "Kitchen", "description": "food", "createdBy": "u1", "isPrivate": false, "members": []string{"u1", "u2", "u3"}})
	if d["id"] == "" || d["createdAt"] != d["lastActivity"] {
		t.Error(d)
	}
	has(t, event(worker), message{"roomId": d["id"], "createdBy": "u1", "members": []string{"u1", "u2", "u3"}})
	if got := g.want(200, "u2", "GET", "/chat/rooms/"+d["id"].(string), nil); got["name"] != "Kitchen" {
		t.Error(got)
	}
}

// Lengths are code points, and what is wrong is named.
func TestRoomValidation(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[chat.Config](c).Members = 3 })
	for _, tt := range []struct {
		body   any
		status int
		field  string
	}{
		{message{"name": ""}, 400, "name"},
		{message{"name": strings.Repeat("x", 101)}, 400, "name"},
		{message{"name": strings.Repeat("é", 101)}, 400, "name"},
		{message{"name": strings.Repeat("😅", 100)}, 201, ""},
		{message{"name": strings.Repeat("e\u0301", 51)}, 400, "name"}, // 102 code points
		{message{}, 400, "name"},
		{message{"name": nil}, 400, "name"},
		{message{"name": 1}, 400, "name"},
		{message{"name": "n", "description": strings.Repeat("x", 1001)}, 400, "description"},
		{message{"name": "n", "description": 1}, 400, "description"},
		{message{"name": "n", "isPrivate": "yes"}, 400, "isPrivate"},
		{message{"name": "n", "members": "u2"}, 400, "members"},
		{message{"name": "n", "members": []any{1}}, 400, "members"},
		{message{"name": "n", "members": []string{""}}, 400, "members"},
		{message{"name": "n", "members": []string{strings.Repeat("u", 129)}}, 400, "members"},
		{message{"name": "n", "members": []string{"a\nb"}}, 400, "members"},
		{message{"name": "n", "members": []string{"u2", "u3", "u4"}}, 400, "members"},
		{message{"name": "n", "members": []string{"u1", "u2", "u3", "u2"}}, 201, ""},
		{`{"name":"a","name":"b"}`, 400, ""},
		{`{"name":`, 400, ""},
		{`[]`, 400, ""},
	} {
		status, out := g.As("u1", "POST", "/chat/rooms", tt.body)
		m, _ := out.(message)
		if status != tt.status || tt.field != "" && (m["field"] != tt.field || !strings.Contains(m["error"].(string), tt.field)) {
			t.Errorf("%v: %d %v", tt.body, status, out)
		}
	}
	if status, _ := g.As("", "POST", "/chat/rooms", message{"name": "n"}); status != 401 {
		t.Error("without a token", status)
	}
}
