package chat_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"weir/relay/config"
	"weir/relay/systems/chat"
)

// Everybody who follows a room sees one order, which is that of the positions; lastMessage is the last, and the
// events come in that order, too.
func TestOneOrderInARoom(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2", "u3", "u4")
	worker := g.listen("chat.message.sent")
	var watchers []*peer
	for _, user := range []string{"u1", "u2", "u3"} {
		watchers = append(watchers, g.follow(user, "room:"+room))
	}
	const each = 50
	users := []string{"u1", "u2", "u3", "u4"}
	var senders sync.WaitGroup
	for _, user := range users {
		senders.Go(func() {
			for i := range each {
				if status, out := g.As(user, "POST", "/chat/rooms/"+room+"/messages", message{"content": fmt.Sprint(user, i)}); status != 201 {
					t.Error(status, out)
				}
			}
		})
	}
	senders.Wait()
	var ids []string
	for n, p := range watchers {
		for i := range each * len(users) {
			m := change(p, "new_message")["message"].(message)
			if m["position"] != float64(i+1) {
				t.Fatal(n, i, m)
			}
			if n == 0 {
				ids = append(ids, m["id"].(string))
			}
		}
	}
	for i, id := range ids {
		if e := event(worker); e["messageId"] != id {
			t.Fatal(i, e, id)
		}
	}
	d := g.want(200, "u1", "GET", "/chat/rooms/"+room, nil)
	if d["lastMessage"].(message)["messageId"] != ids[len(ids)-1] || d["position"] != float64(len(ids)) {
		t.Error(d)
	}
}

// One nonce, sent from everywhere at once, is one message.
func TestOneMessageForANonce(t *testing.T) {
	g := start(t, nil)
	room := g.room(nil, "u2")
	ids := make([]string, 16)
	var senders sync.WaitGroup
	for i := range ids {
		senders.Go(func() {
			_, out := g.As("u1", "POST", "/chat/rooms/"+room+"/messages", message{"content": "x", "nonce": "n"})
			ids[i], _ = out.(message)["id"].(string)
		})
	}
	senders.Wait()
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != 1 || ids[0] == "" {
		t.Error(ids)
	}
	if got, _, _ := g.page("u1", room, ""); len(got) != 1 {
		t.Error(got)
	}
}

// However many come at once, a room has no more members than it may, and a user no more rooms; what the room says
// and what the lists say is the same.
func TestBoundsHoldAtOnce(t *testing.T) {
	const most, rooms = 5, 3
	g := start(t, func(c *config.Config) {
		config.Of[chat.Config](c).Members, config.Of[chat.Config](c).Rooms = most, rooms
	})
	var ids []string
	for i := range 5 {
		ids = append(ids, g.want(201, fmt.Sprint("owner", i), "POST", "/chat/rooms", message{"name": "n"})["id"].(string))
	}
	users := []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7"}
	var all sync.WaitGroup
	for i, user := range users {
		all.Go(func() {
			for round := range 3 {
				for j := range ids {
					room := ids[(i+j)%len(ids)]
					g.As(user, "POST", "/chat/rooms/"+room+"/join", nil)
					if (i+j+round)%3 == 0 {
						g.As(user, "POST", "/chat/rooms/"+room+"/leave", nil)
					}
				}
			}
		})
	}
	all.Wait()
	in := make(map[string][]string)
	for i, room := range ids {
		members := g.members(fmt.Sprint("owner", i), room)
		if len(members) > most {
			t.Error(room, members)
		}
		for _, user := range members[1:] {
			in[user] = append(in[user], room)
		}
	}
	for _, user := range users {
		got := g.list(user, 100)
		slices.Sort(got)
		slices.Sort(in[user])
		if len(got) > rooms || !slices.Equal(got, in[user]) {
			t.Error(user, "lists", got, "is in", in[user])
		}
	}
}

// Reactions, edits, reads and deletions of many at once lose nothing.
func TestNothingIsLost(t *testing.T) {
	g := start(t, nil)
	users := []string{"u1", "u2", "u3", "u4", "u5"}
	room := g.room(nil, users...)
	m := g.send("u1", room, "a")
	path := "/chat/rooms/" + room + "/messages/" + m["id"].(string)
	var all sync.WaitGroup
	for _, user := range users {
		all.Go(func() {
			for i := range 8 {
				if status, out := g.As(user, "PUT", fmt.Sprint(path, "/reactions/r", i), nil); status != 200 {
					t.Error(status, out)
				}
				g.As("u1", "PATCH", path, message{"content": fmt.Sprint("edit ", i)})
				g.As(user, "POST", "/chat/rooms/"+room+"/read", nil)
				if status, out := g.As(user, "POST", "/chat/rooms/"+room+"/messages", message{"content": "more"}); status == 201 && i%2 == 0 {
					g.As(user, "DELETE", "/chat/rooms/"+room+"/messages/"+out.(message)["id"].(string), nil)
				}
			}
		})
	}
	all.Wait()
	d := g.want(200, "u1", "GET", "/chat/rooms/"+room+"/messages?limit=100", nil)["messages"].([]any)
	if len(d) != 1+len(users)*4 {
		t.Error(len(d))
	}
	reactions := d[0].(message)["reactions"].(message)
	for i := range 8 {
		if list, _ := reactions[fmt.Sprint("r", i)].([]any); len(list) != len(users) {
			t.Error(i, list)
		}
	}
	if d := g.want(200, "u1", "GET", "/chat/rooms/"+room, nil); d["position"] != float64(1+len(users)*8) {
		t.Error(d)
	}
}

// A room that ends while others are at it ends for all of them.
func TestRoomEndsAtOnce(t *testing.T) {
	g := start(t, nil)
	for range 10 {
		room := g.room(nil, "u2", "u3")
		var all sync.WaitGroup
		for _, user := range []string{"u1", "u2", "u3"} {
			all.Go(func() {
				g.As(user, "POST", "/chat/rooms/"+room+"/messages", message{"content": "x"})
				g.As(user, "POST", "/chat/rooms/"+room+"/leave", nil)
			})
		}
		all.Go(func() { g.As("u2", "GET", "/chat/rooms", nil) })
		all.Wait()
		g.want(403, "u1", "GET", "/chat/rooms/"+room, nil)
	}
	if _, out := g.Backend("GET", "/v1/channels?prefix=chat", nil); len(out.(message)["channels"].([]any)) != 0 {
		t.Error(out)
	}
}
