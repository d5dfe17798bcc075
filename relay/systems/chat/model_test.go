package chat_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// modelRoom is a room as it should be.
type modelRoom struct {
	id       string
	private  bool
	members  []string
	read     map[string]int
	said     []modelMessage // position i+1
	shrunken bool           // gone
}

type modelMessage struct {
	id, user, content string
	deleted           bool
}

func (r *modelRoom) has(user string) bool { return slices.Contains(r.members, user) }

// left is the messages that are there.
func (r *modelRoom) left() (list []modelMessage) {
	for _, m := range r.said {
		if !m.deleted {
			list = append(list, m)
		}
	}
	return list
}

func (r *modelRoom) unread(user string) int {
	n := 0
	for i, m := range r.said {
		if i >= r.read[user] && !m.deleted {
			n++
		}
	}
	return n
}

func (r *modelRoom) remove(user string) {
	r.members = slices.DeleteFunc(r.members, func(m string) bool { return m == user })
	delete(r.read, user)
	r.shrunken = len(r.members) == 0
}

// world is some rooms as they should be, beside the relay that keeps them.
type world struct {
	*rig
	t     *rapid.T
	rooms []*modelRoom
}

var modelUsers = []string{"u1", "u2", "u3", "u4"}

func (w *world) user(label string) string { return rapid.SampledFrom(modelUsers).Draw(w.t, label) }

// pick draws a room, one that is gone included.
func (w *world) pick() *modelRoom {
	if len(w.rooms) == 0 {
		w.t.Skip("no room yet")
	}
	return rapid.SampledFrom(w.rooms).Draw(w.t, "room")
}

// expect asks, and holds the status against what it should be.
func (w *world) expect(status int, user, method, path string, body any) map[string]any {
	got, out := w.As(user, method, path, body)
	if got != status {
		w.t.Fatalf("%s %s by %s: %d %v, want %d", method, path, user, got, out, status)
	}
	m, _ := out.(map[string]any)
	return m
}

// standing is the status that a user gets in a room: ok for members.
func standing(r *modelRoom, user string, ok int) int {
	switch {
	case r.shrunken, !r.has(user): // a room that is not there is like one of others
		return 403
	}
	return ok
}

func (w *world) create(*rapid.T) {
	owner := w.user("owner")
	others := rapid.SliceOfN(rapid.SampledFrom(modelUsers), 0, 3).Draw(w.t, "members")
	r := &modelRoom{private: rapid.Bool().Draw(w.t, "private"), members: []string{owner}, read: map[string]int{owner: 0}}
	for _, u := range others {
		if !r.has(u) {
			r.members = append(r.members, u)
			r.read[u] = 0
		}
	}
	d := w.expect(201, owner, "POST", "/chat/rooms", message{"name": "n", "isPrivate": r.private, "members": others})
	r.id = d["id"].(string)
	w.rooms = append(w.rooms, r)
}

func (w *world) join(*rapid.T) {
	r, user := w.pick(), w.user("user")
	status := 201
	switch {
	case r.shrunken:
		status = 403
	case r.has(user):
		status = 200
	case r.private:
		status = 403
	default:
		r.members = append(r.members, user)
		r.read[user] = len(r.said)
	}
	w.expect(status, user, "POST", "/chat/rooms/"+r.id+"/join", nil)
}

func (w *world) add(*rapid.T) {
	r, by, user := w.pick(), w.user("by"), w.user("user")
	status := standing(r, by, 201)
	if status == 201 {
		if r.has(user) {
			status = 200
		} else {
			r.members = append(r.members, user)
			r.read[user] = len(r.said)
		}
	}
	w.expect(status, by, "POST", "/chat/rooms/"+r.id+"/members", message{"userId": user})
}

func (w *world) remove(*rapid.T) {
	r, by, user := w.pick(), w.user("by"), w.user("user")
	status := standing(r, by, 204)
	if status == 204 {
		switch {
		case by != user && r.members[0] != by:
			status = 403
		case !r.has(user):
			status = 404
		default:
			r.remove(user)
		}
	}
	w.expect(status, by, "DELETE", "/chat/rooms/"+r.id+"/members/"+user, nil)
}

func (w *world) send(*rapid.T) {
	r, user := w.pick(), w.user("user")
	status := standing(r, user, 201)
	d := w.expect(status, user, "POST", "/chat/rooms/"+r.id+"/messages", message{"content": fmt.Sprint(len(r.said))})
	if status == 201 {
		r.said = append(r.said, modelMessage{d["id"].(string), user, fmt.Sprint(len(r.said)), false})
		r.read[user] = len(r.said)
	}
}

func (w *world) edit(*rapid.T) {
	r, user := w.pick(), w.user("user")
	if len(r.said) == 0 {
		w.t.Skip("nothing said yet")
	}
	m := &r.said[rapid.IntRange(0, len(r.said)-1).Draw(w.t, "message")]
	status := standing(r, user, 200)
	if status == 200 {
		switch {
		case m.deleted:
			status = 404
		case m.user != user:
			status = 403
		default:
			m.content += "!"
		}
	}
	w.expect(status, user, "PATCH", "/chat/rooms/"+r.id+"/messages/"+m.id, message{"content": m.content})
}

func (w *world) delete(*rapid.T) {
	r, user := w.pick(), w.user("user")
	if len(r.said) == 0 {
		w.t.Skip("nothing said yet")
	}
	m := &r.said[rapid.IntRange(0, len(r.said)-1).Draw(w.t, "message")]
	status := standing(r, user, 204)
	if status == 204 {
		switch {
		case m.deleted:
			status = 404
		case m.user != user && r.members[0] != user:
			status = 403
		default:
			m.deleted = true
		}
	}
	w.expect(status, user, "DELETE", "/chat/rooms/"+r.id+"/messages/"+m.id, nil)
}

func (w *world) mark(*rapid.T) {
	r, user := w.pick(), w.user("user")
	at := rapid.IntRange(0, len(r.said)+1).Draw(w.t, "position")
	status := standing(r, user, 200)
	if status == 200 {
		r.read[user] = max(r.read[user], min(at, len(r.said)))
	}
	d := w.expect(status, user, "POST", "/chat/rooms/"+r.id+"/read", message{"position": at})
	if status == 200 && (d["position"] != float64(r.read[user]) || d["unread"] != float64(r.unread(user))) {
		w.t.Fatal(d, r.read[user], r.unread(user))
	}
}

// check holds what can be seen of a room, and by a user, against the model.
func (w *world) check(*rapid.T) {
	if len(w.rooms) == 0 {
		return
	}
	for _, r := range []*modelRoom{w.pick()} {
		user := modelUsers[0]
		if len(r.members) > 0 {
			user = r.members[len(r.members)-1]
		}
		d := w.expect(standing(r, user, 200), user, "GET", "/chat/rooms/"+r.id, nil)
		if r.shrunken {
			return
		}
		left := r.left()
		want := fmt.Sprint(r.members, " ", r.unread(user), " ", r.read[user], " ", len(r.said))
		if got := fmt.Sprint(d["members"], " ", d["unread"], " ", d["read"], " ", d["position"]); got != want {
			w.t.Fatalf("room is %s, want %s", got, want)
		}
		last, _ := d["lastMessage"].(map[string]any)
		if len(left) == 0 && last != nil || len(left) > 0 && (last["messageId"] != left[len(left)-1].id || last["content"] != left[len(left)-1].content) {
			w.t.Fatal(last, left)
		}
		limit := rapid.IntRange(1, 4).Draw(w.t, "limit")
		page := w.expect(200, user, "GET", fmt.Sprintf("/chat/rooms/%s/messages?limit=%d", r.id, limit), nil)
		list := page["messages"].([]any)
		if len(list) != min(limit, len(left)) || page["more"] != (len(left) > limit) {
			w.t.Fatal(page, left)
		}
		for i, m := range list {
			want := left[len(left)-len(list)+i]
			if m := m.(map[string]any); m["id"] != want.id || m["content"] != want.content || m["edited"] != (want.content[len(want.content)-1] == '!') {
				w.t.Fatal(m, want)
			}
		}
	}
	for _, user := range []string{w.user("lists")} {
		var want, got []string
		for _, r := range w.rooms {
			if r.has(user) {
				want = append(want, r.id)
			}
		}
		got = w.list(user, 100)
		slices.Sort(want)
		slices.Sort(got)
		for id := range slices.Values(got) {
			if !slices.Contains(want, id) && !w.earlier(id) {
				w.t.Fatal("listed", id)
			}
		}
		for _, id := range want {
			if !slices.Contains(got, id) {
				w.t.Fatal("not listed", id)
			}
		}
	}
}

// earlier reports whether a room is of an earlier run: all of them use one relay.
func (w *world) earlier(id string) bool {
	return !slices.ContainsFunc(w.rooms, func(r *modelRoom) bool { return r.id == id })
}

// Whatever users do in whatever order, rooms, members, messages and counts are what a plain model says.
func TestModel(t *testing.T) {
	g := start(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		w := &world{rig: g, t: t}
		defer func() {
			for _, r := range w.rooms { // so that the lists of the next run are short
				for _, user := range r.members {
					g.As(user, "POST", "/chat/rooms/"+r.id+"/leave", nil)
				}
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"create": w.create, "join": w.join, "add": w.add, "remove": w.remove, "send": w.send, "send again": w.send,
			"edit": w.edit, "delete": w.delete, "mark": w.mark, "": w.check,
		})
	})
}
