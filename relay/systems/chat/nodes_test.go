package chat_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/chat"
)

// three starts three nodes with a chat.
func three(t *testing.T) (*relaytest.Nodes, []*rig) {
	t.Helper()
	n := relaytest.ClusterOf(t, 3, func(c *config.Config) { c.Heartbeat, c.Pong = 30*time.Second, time.Minute }, chat.Module())
	var list []*rig
	for _, g := range n.Rigs {
		list = append(list, &rig{g})
	}
	return n, list
}

// ask sends a request as a user until the answer is other than that a node is not reached.
func (g *rig) ask(user, method, path string, body any) (status int, out message) {
	g.Helper()
	relaytest.Until(g, method+" "+path+" is answered", func() bool {
		var answer any
		status, answer = g.As(user, method, path, body)
		out, _ = answer.(message)
		return status != 503
	})
	return status, out
}

// needs is ask that has to be answered with one of two statuses.
func (g *rig) needs(status, or int, user, method, path string, body any) message {
	g.Helper()
	got, out := g.ask(user, method, path, body)
	if got != status && got != or {
		g.Errorf("%s %s by %s: %d %v, want %d or %d", method, path, user, got, out, status, or)
	}
	return out
}

// agree says that the members of rooms and the lists of users' rooms are the same, by all nodes.
func agree(g []*rig, by string, rooms, users []string) map[string][]string {
	members := make(map[string][]string)
	for i, at := range g {
		at.Helper()
		want := make(map[string][]string)
		for _, room := range rooms {
			list, _ := at.needs(200, 200, by, "GET", "/chat/rooms/"+room, nil)["members"].([]any)
			members[room] = nil
			for _, user := range list {
				members[room] = append(members[room], user.(string))
				want[user.(string)] = append(want[user.(string)], room)
			}
		}
		for _, user := range users {
			var got []string
			list, _ := at.needs(200, 200, user, "GET", "/chat/rooms?limit=100", nil)["rooms"].([]any)
			for _, room := range list {
				got = append(got, room.(message)["id"].(string))
			}
			slices.Sort(got)
			slices.Sort(want[user])
			if !slices.Equal(got, want[user]) {
				at.Errorf("by node %d: %s is a member of %v, and lists %v", i, user, want[user], got)
			}
		}
	}
	return members
}

// refused says that a user may not follow a room, by the first answer other than that a node is not reached.
func refused(p *peer, room string) {
	p.Helper()
	var m message
	relaytest.Until(p, "the stranger is answered", func() bool {
		p.Send(message{"type": "subscribe", "id": "no", "channel": "room:" + room})
		m = p.Until(func(m message) bool { return m["id"] == "no" })
		return m["retryable"] != true
	})
	if m["type"] != "error" || m["code"] != "forbidden" {
		p.Errorf("a stranger is told %v", m)
	}
}

// Members of a room are clients of different nodes, and the room and their lists of rooms are kept by any: they see what they would of one node.
func TestChatOfNodes(t *testing.T) {
	n, g := three(t)
	for owner := range g {
		room := g[owner].needs(201, 201, "u1", "POST", "/chat/rooms", message{"name": "n", "members": []string{"u2"}})["id"].(string)
		path := "/chat/rooms/" + room
		n.Move("room:"+room, owner)
		n.Move("user:u3", (owner+1)%3)
		first, second, third := g[0].follow("u1", "room:"+room), g[1].follow("u2", "room:"+room), g[2].follow("u3")
		refused(third, room)
		g[1].needs(403, 403, "u3", "GET", path+"/messages", nil)
		g[2].needs(201, 200, "u1", "POST", path+"/members", message{"userId": "u3"})
		third.Send(message{"type": "subscribe", "id": 1, "channel": "room:" + room})
		third.Type("subscribed")
		emit(second, "start", message{"roomId": room})
		if op, user, _ := signs(first); op != "set" || user != "u2" {
			t.Errorf("with the room at node %d: typing is seen as %s of %s", owner, op, user)
		}
		for i, user := range []string{"u1", "u2", "u3"} {
			m := g[(i+1)%3].needs(201, 201, user, "POST", path+"/messages", message{"content": fmt.Sprint("by ", user), "nonce": "n"})
			again := g[i].needs(201, 201, user, "POST", path+"/messages", message{"content": "again", "nonce": "n"})
			if m["id"] != again["id"] || m["position"] != float64(i+1) {
				t.Errorf("with the room at node %d: %v and then %v", owner, m, again)
			}
			for _, p := range []*peer{first, second, third} {
				if told := change(p, "new_message")["message"].(message); told["id"] != m["id"] {
					t.Errorf("a member is told %v, not %v", told, m)
				}
			}
		}
		third.Send(message{"type": "event", "id": "start", "topic": "chat.typing.start", "data": message{"roomId": room}})
		_, _, _ = signs(first)
		third.Drop() // which ends that
		if op, user, _ := signs(first); op != "delete" || user != "u3" {
			t.Errorf("the end of a connection is seen as %s of %s", op, user)
		}
		third = g[2].follow("u3", "room:"+room)
		agree(g, "u1", []string{room}, []string{"u3"})
		g[0].needs(204, 204, "u1", "DELETE", path+"/members/u3", nil)
		if m := third.Type("unsubscribed"); m["channel"] != "room:"+room {
			t.Error(m)
		}
		refused(third, room)
		agree(g, "u1", []string{room}, []string{"u3"})
		for i, user := range []string{"u2", "u1"} {
			g[i].needs(204, 204, user, "POST", path+"/leave", nil)
		}
		g[2].needs(403, 403, "u1", "GET", path, nil)
	}
}

// While rooms and lists move, and their owner is lost, members come and go and write: what was acknowledged is there once, and rooms and lists agree.
func TestRoomsThatMove(t *testing.T) {
	n, g := three(t)
	users := []string{"u1", "u2", "u3", "u4"}
	var rooms []string
	for i := range 3 {
		rooms = append(rooms, g[i].needs(201, 201, "owner", "POST", "/chat/rooms", message{"name": "n", "members": users[:1]})["id"].(string))
	}
	var work sync.WaitGroup
	stop := make(chan struct{})
	said := make([]map[string]string, len(users)) // ids of messages by nonce
	for i, user := range users {
		said[i] = make(map[string]string)
		work.Go(func() {
			for turn := 0; ; turn++ {
				select {
				case <-stop:
					return
				default:
				}
				at, room := g[turn%2], rooms[turn%len(rooms)] // the third node is cut off
				path := "/chat/rooms/" + room
				if i == 0 {
					nonce := fmt.Sprint(turn)
					if status, out := at.ask(user, "POST", path+"/messages", message{"content": nonce, "nonce": nonce}); status == 201 {
						said[i][nonce] = out["id"].(string)
					} else {
						t.Errorf("%s in %s: %d %v", user, room, status, out)
					}
					continue
				}
				at.ask(user, "POST", path+"/join", nil)
				at.ask(user, "POST", path+"/messages", message{"content": "x"})
				if turn%3 == i%3 {
					at.ask(user, "POST", path+"/leave", nil)
				}
			}
		})
	}
	for move := range 6 {
		n.Move("room:"+rooms[move%3], (move+1)%3)
		n.Move("user:"+users[move%4], move%3)
	}
	for _, room := range rooms {
		n.Move("room:"+room, 2)
	}
	n.Move("user:u2", 2)
	n.Cut(2)
	for _, room := range rooms {
		g[0].needs(200, 200, "owner", "GET", "/chat/rooms/"+room, nil)
	}
	n.Heal()
	for _, room := range rooms {
		g[2].needs(200, 200, "owner", "GET", "/chat/rooms/"+room, nil)
	}
	close(stop)
	work.Wait()
	agree(g, "owner", rooms, users)
	for nonce, id := range said[0] {
		if id == "" {
			t.Error("no id for", nonce)
		}
	}
	seen := make(map[string]int)
	for _, room := range rooms {
		last := 0.0
		for before := ""; ; {
			out := g[1].needs(200, 200, "owner", "GET", "/chat/rooms/"+room+"/messages?limit=100"+before, nil)
			list, _ := out["messages"].([]any)
			for i, m := range list {
				m := m.(message)
				seen[m["id"].(string)]++
				if p := m["position"].(float64); i > 0 && p <= last {
					t.Errorf("position %v after %v", p, last)
				} else {
					last = p
				}
			}
			if out["more"] != true {
				break
			}
			before = fmt.Sprint("&before=", list[0].(message)["position"])
		}
	}
	for nonce, id := range said[0] {
		if seen[id] != 1 {
			t.Errorf("message %s with the nonce %s is there %d times", id, nonce, seen[id])
		}
	}
	if len(said[0]) == 0 {
		t.Error("nothing was said: the test says nothing")
	}
}
