package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// receivers are devices that count what reaches them.
type receivers struct {
	*httptest.Server
	mu      sync.Mutex
	down    map[string]bool // devices that fail, by the last part of their address
	slow    chan struct{}   // what devices called slow wait for; nil: nothing
	tries   map[string]int  // by device and notification
	reached map[string]int  // as well
}

func newReceivers(t *testing.T) *receivers {
	t.Helper()
	r := &receivers{down: make(map[string]bool), tries: make(map[string]int), reached: make(map[string]int)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var e struct{ ID string }
		if err := json.NewDecoder(q.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		name := q.URL.Path[1:]
		key := name + " " + e.ID
		r.mu.Lock()
		r.tries[key]++
		down, slow := r.down[name], r.slow
		r.mu.Unlock()
		if strings.HasPrefix(name, "slow") && slow != nil {
			<-slow
		}
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.mu.Lock()
		r.reached[key]++
		r.mu.Unlock()
	}))
	t.Cleanup(r.Close)
	return r
}

// of returns how often a device was tried for a notification, and how often that reached it.
func (r *receivers) of(device, id string) (tries, reached int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries[device+" "+id], r.reached[device+" "+id]
}

func (r *receivers) set(device string, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down[device] = down
}

// hall is three nodes with notifications.
type hall struct {
	*relaytest.Nodes
	devices *receivers
	systems []*System

	mu      sync.Mutex
	results map[string][]string // outcomes, by notification
}

func newHall(t *testing.T) *hall {
	t.Helper()
	h := &hall{devices: newReceivers(t), results: make(map[string][]string)}
	w := newWorld(t)
	m := Module()
	m.New = func() relay.System {
		s := New()
		h.systems = append(h.systems, s)
		return s
	}
	h.Nodes = relaytest.ClusterOf(t, 3, func(c *config.Config) {
		c.Dev, c.Heartbeat, c.Pong = true, 30*time.Second, time.Minute
		*config.Of[Config](c) = Config{WebPush: WebPush{Secret: w.key.Private, Subject: subject}}
	}, m)
	g := h.Rigs[0]
	p, status := g.Dial(g.Token("worker", func(c *auth.Claims) { c.Channels = map[string][]string{"event:*": {"subscribe"}} }), "/ws")
	if p == nil {
		t.Fatal(status)
	}
	for _, topic := range []string{topicDelivered, topicFailed} {
		p.Send(relaytest.Message{"type": "subscribe", "id": topic, "channel": "event:" + topic})
		p.Type("subscribed")
		h.Move("event:"+topic, 0) // which is not lost
	}
	var work sync.WaitGroup
	work.Go(func() {
		p.Ends(func(m relaytest.Message) bool {
			list, _ := m["messages"].([]any)
			if list == nil {
				list = []any{m}
			}
			for _, m := range list {
				e, _ := m.(relaytest.Message)["data"].(relaytest.Message)
				if data, _ := e["data"].(relaytest.Message); data["id"] != nil {
					h.mu.Lock()
					h.results[data["id"].(string)] = append(h.results[data["id"].(string)], fmt.Sprintf("%v of %v: %v and %v", e["topic"], data["userId"], data["delivered"], data["failed"]))
					h.mu.Unlock()
				}
			}
			return false
		})
	})
	t.Cleanup(func() {
		p.Drop()
		work.Wait()
	})
	return h
}

// ask sends a request until a node answers other than that another one is not reached; user "" is a backend.
func (h *hall) ask(node int, user, method, path string, body any) (status int, out any) {
	h.Helper()
	relaytest.Until(h, method+" "+path+" is answered", func() bool {
		if user == "" {
			status, out = h.Rigs[node].Backend(method, path, body)
		} else {
			status, out = h.Rigs[node].As(user, method, path, body)
		}
		return status != 503
	})
	return status, out
}

// needs is ask that has to be answered with a status below 300.
func (h *hall) needs(node int, user, method, path string, body any) relaytest.Message {
	h.Helper()
	status, out := h.ask(node, user, method, path, body)
	if status >= 300 {
		h.Errorf("%s %s by %q at node %d: %d %v", method, path, user, node, status, out)
	}
	m, _ := out.(relaytest.Message)
	return m
}

func (h *hall) register(node int, user string, names ...string) {
	h.Helper()
	for _, name := range names {
		h.needs(node, user, "POST", "/devices", relaytest.Message{"kind": "webhook", "url": h.devices.URL + "/" + name})
	}
}

func (h *hall) notify(node int, user, id string) {
	h.Helper()
	h.needs(node, "", "POST", "/v1/notify", relaytest.Message{"userId": user, "title": "Hello", "id": id})
}

// inbox returns the notifications of a user by a node: ids, and whether they were read.
func (h *hall) inbox(node int, user string) string {
	h.Helper()
	var all []string
	list, _ := h.needs(node, user, "GET", "/notifications?limit=200", nil)["notifications"].([]any)
	for _, n := range list {
		n := n.(relaytest.Message)
		all = append(all, fmt.Sprint(n["id"], " ", n["read"]))
	}
	return strings.Join(all, ", ")
}

// wantResult waits for the result of a notification, and wants one.
func (h *hall) wantResult(id, want string) {
	h.Helper()
	var got []string
	relaytest.Until(h, "the result of "+id, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		got = h.results[id]
		return len(got) > 0
	})
	if len(got) != 1 || got[0] != want {
		h.Errorf("the results of %s are %q, want %q", id, got, want)
	}
}

// idle waits until no node has anything on its way.
func (h *hall) idle(but int) {
	h.Helper()
	for i, s := range h.systems {
		if i != but {
			relaytest.Until(h, fmt.Sprint("nothing is on its way at node ", i), func() bool { return s.queue.waiting() == 0 })
		}
	}
}

// tried waits until a device was tried for a notification.
func (h *hall) tried(device, id string) {
	h.Helper()
	relaytest.Until(h, device+" was tried for "+id, func() bool {
		tries, _ := h.devices.of(device, id)
		return tries > 0
	})
}

// Users register, are notified and read by any node, whichever has them.
func TestNotificationsOfNodes(t *testing.T) {
	h := newHall(t)
	for owner := range h.Rigs {
		user := fmt.Sprint("ann", owner)
		h.Move("user:"+user, owner)
		home, away := "home-"+user, "away-"+user
		h.register((owner+1)%3, user, home)
		h.register((owner+2)%3, user, away, home) // one that is known
		want := ""
		for i := range h.Rigs {
			if list, _ := h.needs(i, user, "GET", "/devices", nil)["devices"].([]any); len(list) != 2 {
				t.Errorf("%s has %v by node %d", user, list, i)
			}
			id := fmt.Sprint(user, "-", i)
			h.notify(i, user, id)
			h.notify((i+1)%3, user, id) // which changes nothing
			h.wantResult(id, fmt.Sprintf("notification.delivered of %s: 2 and 0", user))
			want = strings.TrimPrefix(strings.TrimSuffix(id+" false, "+want, ", "), ", ")
			for k := range h.Rigs {
				if got := h.inbox(k, user); got != want {
					t.Errorf("node %d has %s, not %s", k, got, want)
				}
			}
		}
		// Read on one, by the user, by a backend's topic, and all.
		h.needs((owner+1)%3, user, "POST", "/notifications/"+user+"-0/read", nil)
		h.needs((owner+2)%3, "", "POST", "/v1/events", relaytest.Message{"topic": topicRead, "data": relaytest.Message{"userId": user, "id": user + "-1"}})
		if status, out := h.ask((owner+1)%3, "", "POST", "/v1/events", relaytest.Message{"topic": topicRead, "data": relaytest.Message{"userId": user, "id": "none"}}); status != 404 {
			t.Error(status, out)
		}
		want = strings.ReplaceAll(strings.ReplaceAll(want, "-0 false", "-0 true"), "-1 false", "-1 true")
		for k := range h.Rigs {
			if got := h.inbox(k, user); got != want {
				t.Errorf("node %d has %s, not %s", k, got, want)
			}
		}
		h.needs((owner+1)%3, user, "DELETE", "/notifications/"+user+"-0", nil)
		if status, _ := h.ask(owner, user, "DELETE", "/notifications/"+user+"-0", nil); status != 404 {
			t.Error(status)
		}
		if m := h.needs((owner+2)%3, user, "POST", "/notifications/read", nil); m["marked"] != 1.0 {
			t.Error(m)
		}
		if m := h.needs((owner+1)%3, user, "DELETE", "/devices", nil); m["removed"] != 2.0 {
			t.Error(m)
		}
	}
	out := h.needs(1, "", "POST", "/v1/notify", relaytest.Message{"userIds": []string{"ann0", "ann1", "ann2"}, "title": "Hello"})
	if answers, _ := out["answers"].([]any); len(answers) != 3 || out["failed"] != 0.0 {
		t.Error(out)
	}
	for _, a := range out["answers"].([]any) {
		a := a.(relaytest.Message)
		h.wantResult(a["id"].(string), fmt.Sprintf("notification.failed of %s: 0 and 0", a["userId"]))
	}
	if status, out := h.ask(2, "", "POST", "/v1/notify", relaytest.Message{"userId": "ann0", "title": strings.Repeat("x", 300)}); status != 400 {
		t.Error(status, out)
	}
	for name, n := range h.devices.reached {
		if n != 1 {
			t.Errorf("%s was reached %d times", name, n)
		}
	}
}

// A browser that another user registers belongs to that one, whichever nodes have the two and know whose it is.
func TestDeviceChangesHandsAmongNodes(t *testing.T) {
	h := newHall(t)
	service := newPushService(t, nil, subject)
	for i := range h.Rigs {
		h.Move("user:eve", i)
		h.Move("user:bob", (i+1)%3)
		phone := service.subscribe(fmt.Sprint("phone", i))
		for turn := range 4 {
			user, other := "eve", "bob"
			if turn%2 == 1 {
				user, other = other, user
			}
			id := h.needs((i+turn)%3, user, "POST", "/devices", phone)["id"].(string)
			h.Move(ownersOf(id), turn%3)
			for k := range h.Rigs {
				mine, _ := h.needs(k, user, "GET", "/devices", nil)["devices"].([]any)
				theirs, _ := h.needs(k, other, "GET", "/devices", nil)["devices"].([]any)
				if len(mine) != 1 || len(theirs) != 0 {
					t.Errorf("turn %d, by node %d: %s has %v, %s has %v", turn, k, user, mine, other, theirs)
				}
			}
		}
		h.needs(i, "bob", "DELETE", "/devices", nil)
	}
	phone := service.subscribe("wanted")
	var both sync.WaitGroup
	for i, user := range []string{"eve", "bob"} { // at once, again and again
		both.Go(func() {
			for range 10 {
				h.needs(i, user, "POST", "/devices", phone)
			}
		})
	}
	both.Wait()
	count := 0
	for _, user := range []string{"eve", "bob"} {
		list, _ := h.needs(2, user, "GET", "/devices", nil)["devices"].([]any)
		count += len(list)
	}
	if count > 1 {
		t.Errorf("the device is that of %d users", count)
	}
}

// A user who comes back to a node that still makes an attempt from before is not sent the same by another one.
func TestDeliveryThatComesBack(t *testing.T) {
	h := newHall(t)
	h.devices.slow = make(chan struct{})
	h.devices.set("down", true)
	for user, device := range map[string]string{"u0": "slow", "u1": "down"} {
		h.Move("user:"+user, 0)
		h.register(0, user, device)
		h.notify(0, user, "n-"+user)
		h.tried(device, "n-"+user)
	}
	for _, node := range []int{1, 0} {
		h.Move("user:u0", node)
	}
	for range 2 { // what is resumed after u0 is there, twice: until then it was looked for what is pending for u0 as well
		before, _ := h.devices.of("down", "n-u1")
		h.Move("user:u1", 1)
		h.Move("user:u1", 0)
		relaytest.Until(h, "what is pending is gone on with", func() bool {
			tries, _ := h.devices.of("down", "n-u1")
			return tries > before
		})
	}
	close(h.devices.slow)
	h.devices.set("down", false)
	h.wantResult("n-u0", "notification.delivered of u0: 1 and 0")
	h.wantResult("n-u1", "notification.delivered of u1: 1 and 0")
	h.idle(-1)
	for user, device := range map[string]string{"u0": "slow", "u1": "down"} {
		if _, n := h.devices.of(device, "n-"+user); n != 1 {
			t.Errorf("%s was reached %d times", device, n)
		}
	}
}

// A user moves while pushes fail and are under way: each device is reached once.
func TestDeliveriesThatMove(t *testing.T) {
	h := newHall(t)
	h.devices.slow = make(chan struct{})
	var ids []string
	for i := range 4 {
		user := fmt.Sprint("u", i)
		h.Move("user:"+user, i%3)
		fine, down, slow := fmt.Sprint("fine", i), fmt.Sprint("down", i), fmt.Sprint("slow", i)
		h.devices.set(down, true)
		h.register((i+1)%3, user, fine, down, slow)
		id := fmt.Sprint("n", i)
		ids = append(ids, id)
		h.notify((i+2)%3, user, id)
		h.tried(fine, id)
		h.tried(down, id)
		h.tried(slow, id)
		h.Move("user:"+user, (i+1)%3) // slow is under way
	}
	close(h.devices.slow)
	for turn := range 3 {
		for i := range ids {
			h.Move(fmt.Sprint("user:u", i), (i+turn)%3)
		}
	}
	for i := range ids {
		h.devices.set(fmt.Sprint("down", i), false)
	}
	for i, id := range ids {
		h.wantResult(id, fmt.Sprintf("notification.delivered of u%d: 3 and 0", i))
	}
	h.idle(-1)
	for i, id := range ids {
		for _, device := range []string{"fine", "down", "slow"} {
			if _, n := h.devices.of(fmt.Sprint(device, i), id); n != 1 {
				t.Errorf("%s%d was reached %d times with %s", device, i, n, id)
			}
		}
		for k := range h.Rigs {
			if got := h.inbox(k, fmt.Sprint("u", i)); got != id+" false" {
				t.Errorf("node %d has %s", k, got)
			}
		}
	}
}

// noted waits until it is stored that a device was reached.
func (h *hall) noted(node int, user, id, device string) {
	h.Helper()
	s := h.systems[node]
	channel, key := s.pendingOf(&delivery{user: user, n: &notification{content: content{ID: id}}})
	relaytest.Until(h, device+" is noted", func() bool {
		_, _, ok := s.host.Broker().Item(channel, groupReached, key+"."+identify(kindWebhook, h.devices.URL+"/"+device))
		return ok
	})
	h.needs(node, user, "POST", "/notifications/read", nil) // what is stored later is stored
}

// The node of a user is cut off, and another one killed, while pushes fail: the next one goes on, and what was reached is not pushed again.
func TestDeliveriesOfLostNodes(t *testing.T) {
	h := newHall(t)
	for turn, lost := range []int{2, 1} {
		user, id := fmt.Sprint("u", turn), fmt.Sprint("n", turn)
		fine, down := "fine"+id, "down"+id
		h.Move("user:"+user, lost)
		h.devices.set(down, true)
		h.register(0, user, fine, down)
		h.notify(0, user, id)
		h.tried(fine, id)
		h.tried(down, id)
		h.noted(lost, user, id, fine)
		if turn == 0 {
			h.Cut(lost)
		} else {
			h.Kill(lost)
		}
		h.inbox(0, user) // another node has the user by now
		h.notify(0, user, id)
		h.devices.set(down, false)
		h.wantResult(id, fmt.Sprintf("notification.delivered of %s: 2 and 0", user))
		if turn == 0 {
			h.Heal()
			h.inbox(lost, user)
			h.idle(-1)
		} else {
			h.idle(lost)
		}
		for _, device := range []string{fine, down} {
			if _, n := h.devices.of(device, id); n != 1 {
				t.Errorf("%s was reached %d times", device, n)
			}
		}
		if got := h.inbox(0, user); got != id+" true" {
			t.Errorf("the inbox of %s is %s", user, got)
		}
	}
}
