package notify

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/internal/contain"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/relaytest"
)

// Marked read on one device, a notification is read on all of them: by route, by topic, and by a backend.
func TestReadOnEveryDevice(t *testing.T) {
	g := start(t, nil)
	phone, laptop := g.connect("u1"), g.connect("u1")
	var ids []string
	for i := range 6 {
		ids = append(ids, g.notify(relaytest.Message{"userId": "u1", "title": fmt.Sprint("n", i)}))
		phone.Type("update")
		laptop.Type("update")
	}
	wantRead := func(id string) {
		t.Helper()
		for _, p := range []*relaytest.Peer{phone, laptop} {
			m := p.Type("update")
			data := m["data"].(relaytest.Message)
			if m["key"] != id || data["read"] != true || data["readAt"] == nil || !strings.HasPrefix(data["title"].(string), "n") {
				t.Errorf("%v, want %s", m, id)
			}
		}
	}
	if status, out := g.As("u1", "POST", "/notifications/"+ids[0]+"/read", nil); status != 200 || fmt.Sprint(out) != "map[id:"+ids[0]+" read:true]" {
		t.Error(status, out)
	}
	wantRead(ids[0])
	phone.Send(relaytest.Message{"type": "event", "id": 1, "topic": "notification.read", "data": relaytest.Message{"id": ids[1], "userId": "u2"}})
	wantRead(ids[1])
	if status, out := g.Backend("POST", "/v1/events", relaytest.Message{"topic": "notification.read", "data": relaytest.Message{"userId": "u1", "ids": []string{ids[2], "none"}}}); status != 202 {
		t.Error(status, out)
	}
	wantRead(ids[2])
	if status, out := g.As("u1", "POST", "/notifications/read", relaytest.Message{"ids": ids[:4]}); status != 200 || fmt.Sprint(out) != "map[marked:1]" {
		t.Error(status, out)
	}
	wantRead(ids[3])
	if _, out := g.As("u1", "GET", "/notifications", nil); out.(relaytest.Message)["unread"] != 2.0 {
		t.Error(out)
	}
	if status, out := g.As("u1", "POST", "/notifications/read", nil); status != 200 || fmt.Sprint(out) != "map[marked:2]" {
		t.Error(status, out)
	}
	wantRead(ids[4])
	wantRead(ids[5])
	if _, out := g.As("u1", "GET", "/notifications", nil); out.(relaytest.Message)["unread"] != 0.0 {
		t.Error(out)
	}

	// What is not there, and what is another user's.
	other := g.notify(relaytest.Message{"userId": "u2", "title": "other"})
	if status, _ := g.As("u1", "POST", "/notifications/"+other+"/read", nil); status != 404 {
		t.Error(status)
	}
	phone.Send(relaytest.Message{"type": "event", "id": 2, "topic": "notification.read", "data": relaytest.Message{"id": other, "userId": "u2"}})
	if m := phone.Type("error"); m["code"] != "not_found" {
		t.Error(m)
	}
	if _, out := g.As("u2", "GET", "/notifications", nil); out.(relaytest.Message)["unread"] != 1.0 {
		t.Error("another user's is read", out)
	}
	for _, body := range []string{`{}`, `{"all":true,"id":"x"}`, `{"ids":"x"}`, `{"ids":[` + strings.Repeat(`"x",`, 200) + `"x"]}`, `[]`} {
		if status, out := g.As("u1", "POST", "/notifications/read", body); status != 400 {
			t.Error(body, status, out)
		}
	}
	if status, _ := g.As("u1", "DELETE", "/notifications/"+ids[0], nil); status != 204 {
		t.Error(status)
	}
	if m := laptop.Type("update"); m["op"] != "delete" || m["key"] != ids[0] {
		t.Error(m)
	}
	if status, _ := g.As("u1", "DELETE", "/notifications/"+ids[0], nil); status != 404 {
		t.Error(status)
	}
}

// A page that loads later reads what there is, the newest first, a page at a time; there are so many and no more.
func TestInboxIsPagedAndBounded(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[Config](c).Inbox = 10 })
	var ids []string
	for i := range 13 {
		ids = append(ids, g.notify(relaytest.Message{"userId": "u1", "title": fmt.Sprint("n", i)}))
	}
	slices.Reverse(ids)
	var got []string
	query := "?limit=4"
	for pages := 1; ; pages++ {
		status, out := g.As("u1", "GET", "/notifications"+query, nil)
		p, _ := out.(relaytest.Message)
		if status != 200 || p["unread"] != 10.0 {
			t.Fatal(status, out)
		}
		for _, n := range p["notifications"].([]any) {
			got = append(got, n.(relaytest.Message)["id"].(string))
		}
		if p["more"] == false {
			if pages != 3 {
				t.Error(pages)
			}
			break
		}
		query = "?limit=4&before=" + got[len(got)-1]
	}
	if !slices.Equal(got, ids[:10]) {
		t.Errorf("got %v, want %v", got, ids[:10])
	}
	for _, bad := range []string{"?limit=0", "?limit=x", "?limit=201", "?limit=-1"} {
		if status, out := g.As("u1", "GET", "/notifications"+bad, nil); status != 400 || !strings.Contains(fmt.Sprint(out), "limit") {
			t.Error(bad, status, out)
		}
	}
	if status, _ := g.As("u1", "GET", "/notifications?before=none", nil); status != 404 {
		t.Error(status)
	}
	if status, out := g.As("u2", "GET", "/notifications", nil); status != 200 || fmt.Sprint(out) != "map[more:false notifications:[] unread:0]" {
		t.Error(status, out)
	}
}

// With a data directory, devices, notifications and what is under way outlive a restart; a reader resumes.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	durable := func(c *config.Config) { c.Data = dir }
	g := w.start(t, durable)
	g.register("u1", w.push.subscribe("phone"))
	g.register("u1", w.hooks.hook("home"))
	w.hooks.plays("home", status(503)) // until the restart
	user := g.connect("u1")
	id := g.notify(relaytest.Message{"userId": "u1", "title": "Hello", "data": 1})
	user.Type("update")
	w.push.next()
	w.hooks.next()
	g.Stop()

	w.hooks.plays("home")
	for len(w.push.messages)+len(w.hooks.messages) > 0 {
		select {
		case <-w.push.messages:
		case <-w.hooks.messages:
		}
	}
	g = w.start(t, durable)
	if m := w.hooks.next(); m.header.Get("webhook-id") != id {
		t.Error(m)
	}
	if n := len(g.devices("u1")); n != 2 {
		t.Errorf("%d devices", n)
	}
	_, out := g.As("u1", "GET", "/notifications", nil)
	if text := fmt.Sprint(out); !strings.Contains(text, id) || !strings.Contains(text, "data:1") || !strings.Contains(text, "unread:1") {
		t.Error(text)
	}
	// What has arrived is not pushed once more by the next restart.
	for w.waiting(g) > 0 {
		<-w.tick()
	}
	g.Stop()
	for len(w.push.messages) > 0 {
		w.push.next()
	}
	g = w.start(t, durable)
	next := g.notify(relaytest.Message{"userId": "u1", "title": "Next"})
	if m := w.push.next(); decode(t, m.body)["id"] != next {
		t.Error("it was pushed again", m.body)
	}
	g.wantResult(topicDelivered, "u1", 2, 0, 0)
}

// Nothing is kept of users when there is no data directory, and nothing breaks.
func TestRestartWithoutData(t *testing.T) {
	w := newWorld(t)
	g := w.start(t, nil)
	g.register("u1", w.push.subscribe("phone"))
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 1, 0, 0)
	g.Stop()
	g = w.start(t, nil)
	if n := len(g.devices("u1")); n != 0 {
		t.Errorf("%d devices", n)
	}
}

// One notification reaches several users, and each has an answer.
func TestOneNotificationForSeveralUsers(t *testing.T) {
	g := start(t, nil)
	one, two := g.connect("u1"), g.connect("u2")
	status, out := g.Backend("POST", "/v1/notify", relaytest.Message{"userIds": []string{"u1", "u2", strings.Repeat("x", 300)}, "title": "Hello"})
	m, _ := out.(relaytest.Message)
	answers, _ := m["answers"].([]any)
	if status != 202 || len(answers) != 3 || m["failed"] != 1.0 || answers[2].(relaytest.Message)["code"] != "bad_request" {
		t.Fatal(status, out)
	}
	for i, p := range []*relaytest.Peer{one, two} {
		a := answers[i].(relaytest.Message)
		if key := p.Type("update")["key"]; key == nil || key != a["id"] || a["userId"] != fmt.Sprint("u", i+1) {
			t.Error(key, a)
		}
	}
	if answers[0].(relaytest.Message)["id"] == answers[1].(relaytest.Message)["id"] {
		t.Error("two notifications have one id")
	}
	many := make([]string, hub.MaxMany+1)
	for i := range many {
		many[i] = fmt.Sprint("m", i)
	}
	for why, body := range map[string]relaytest.Message{
		"userIds must name 1 to 1000, not 1001": {"userIds": many, "title": "a"},
		"userIds must name 1 to 1000, not 0":    {"userIds": []string{}, "title": "a"},
		"userIds names u1 twice":                {"userIds": []string{"u1", "u1"}, "title": "a"},
		"either userId or userIds":              {"userIds": []string{"u1"}, "userId": "u2", "title": "a"},
		"title is missing":                      {"userIds": []string{"u1"}},
	} {
		if status, out := g.Backend("POST", "/v1/notify", body); status != 400 || !strings.Contains(fmt.Sprint(out), why) {
			t.Errorf("%s: %d %v", why, status, out)
		}
	}
	if status, out := g.Backend("POST", "/v1/notify", relaytest.Message{"userIds": many[:hub.MaxMany], "title": "a"}); status != 202 || out.(relaytest.Message)["failed"] != 0.0 {
		t.Errorf("%d %.300v", status, out)
	}
}

// A panic over one of several users is an error of that one; where all of them are given up, each has an answer.
func TestPanicOverOneOfSeveralUsers(t *testing.T) {
	g := start(t, nil)
	for _, at := range []string{"one of several users", "several users"} {
		var once sync.Once
		contain.Throw(func(where string) {
			if where == at && at == "several users" {
				panic("thrown by the test at " + where)
			} else if where == at {
				once.Do(func() { panic("thrown by the test at " + where) })
			}
		})
		status, out := g.Backend("POST", "/v1/notify", relaytest.Message{"userIds": []string{"u1", "u2", "u3"}, "title": "Hello"})
		contain.Throw(nil)
		want := 1.0
		if at == "several users" {
			want = 3
		}
		m, _ := out.(relaytest.Message)
		if answers, _ := m["answers"].([]any); status != 202 || len(answers) != 3 || m["failed"] != want {
			t.Errorf("%s: %d %v", at, status, out)
		}
	}
}
