package relaytest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/relaytest"
)

// desks is a system whose routes are carried out by the node that owns a desk.
type desks struct {
	host relay.Host
	made *orders

	mu   sync.Mutex
	mine map[string]bool // desks that this node has been told to own
}

// orders counts how often each request was carried out, on all nodes.
type orders struct {
	mu    sync.Mutex
	count map[string]int
}

func (o *orders) add(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count[name]++
}

func (o *orders) of(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[name]
}

func (d *desks) Name() string { return "desks" }

func (d *desks) Close() {}

func (d *desks) Start(host relay.Host) error {
	d.host = host
	at := host.At(func(ctx *fasthttp.RequestCtx, _ *auth.Identity) string {
		return "desk:" + ctx.UserValue("desk").(string)
	}, d.handle)
	host.User(http.MethodPost, "/desks/{desk}", at)
	host.User(http.MethodGet, "/desks/{desk}", at)
	host.Backend(http.MethodPost, "/v1/desks/{desk}", func(ctx *fasthttp.RequestCtx) error { return at(ctx, nil) })
	host.Moved("desks", func(of func(key string) bool, gained bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, desk := range []string{"desk:a", "desk:b"} {
			if of(desk) {
				d.mine[desk] = gained
			}
		}
	})
	return nil
}

func (d *desks) owns(desk string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mine[desk]
}

// handle says what it was given.
func (d *desks) handle(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	desk := ctx.UserValue("desk").(string)
	if d.host.Elsewhere("desk:" + desk) {
		return cluster.ErrNotOwner
	}
	d.made.add(string(ctx.PostBody()))
	if string(ctx.QueryArgs().Peek("why")) == "refuse" {
		return problem.New(http.StatusConflict, "taken", "the desk is taken", false)
	}
	user := ""
	if id != nil {
		user = id.User + "/" + strings.Join(id.Roles, ",")
	}
	ctx.Response.Header.Set("X-Desk", desk)
	return jsonbody.Write(ctx, http.StatusCreated, map[string]string{
		"node": d.host.Config().Cluster.Node, "user": user, "desk": desk, "body": string(ctx.PostBody()), "hat": string(ctx.Request.Header.Peek("X-Hat")),
		"secret": string(ctx.Request.Header.Peek("Authorization")), "query": string(ctx.QueryArgs().Peek("q")),
	})
}

// deskNodes are three nodes with desks.
func deskNodes(t *testing.T) (*relaytest.Nodes, []*desks, *orders) {
	t.Helper()
	made := &orders{count: make(map[string]int)}
	var all []*desks
	n := relaytest.Cluster(t, 3, patient, func() []relay.System {
		d := &desks{made: made, mine: make(map[string]bool)}
		all = append(all, d)
		return []relay.System{d}
	})
	return n, all, made
}

// A request that comes to any node is carried out by the one that owns its key, and what that one says comes back as it is.
func TestRequestAtOwner(t *testing.T) {
	n, _, _ := deskNodes(t)
	for owner := range n.Rigs {
		n.Move("desk:a", owner)
		for i, g := range n.Rigs {
			token := g.Token("ann", relaytest.Role("clerk"))
			var status int
			var header http.Header
			var out any
			relaytest.Until(t, "the node has heard of the owner", func() bool {
				status, header, out = g.Do("POST", "/desks/a?q=%26x", `{"n":1}`, "Authorization: Bearer "+token, "X-Hat: red")
				return status == 201 && out.(map[string]any)["node"] == fmt.Sprint("node-", owner)
			})
			want := map[string]any{"node": fmt.Sprint("node-", owner), "user": "ann/clerk", "desk": "a", "body": `{"n":1}`, "hat": "red", "query": "&x", "secret": "Bearer " + token}
			if i != owner {
				want["secret"] = ""
			}
			if fmt.Sprint(out) != fmt.Sprint(want) || header.Get("X-Desk") != "a" || header.Get("Cache-Control") != "no-store" {
				t.Errorf("by node %d, at node %d: %v, %v; want %v", i, owner, out, header, want)
			}
			status, header, out = g.Do("POST", "/desks/a?why=refuse", `{}`, "Authorization: Bearer "+token)
			if status != 409 || out.(map[string]any)["code"] != "taken" || header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("what the owner refuses, by node %d: %d %v", i, status, out)
			}
			if status, out = g.Backend("POST", "/v1/desks/a", `{}`); status != 201 || out.(map[string]any)["node"] != fmt.Sprint("node-", owner) || out.(map[string]any)["user"] != "" {
				t.Errorf("of a backend, by node %d: %d %v", i, status, out)
			}
			if status, _ = g.As("", "POST", "/desks/a", `{}`); status != 401 {
				t.Errorf("without a token, by node %d: %d", i, status)
			}
		}
	}
}

// While the owner moves, requests are carried out once each; one that is refused, since a node of a busy machine was not heard for a while, at most once.
func TestRequestsWhileOwnerMoves(t *testing.T) {
	n, all, made := deskNodes(t)
	n.Move("desk:a", 0)
	var work sync.WaitGroup
	stop := make(chan struct{})
	sent := make([]int, len(n.Rigs))
	var answered atomic.Int64
	for i, g := range n.Rigs {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sent[i]++
				name := fmt.Sprintf("%d of %d", sent[i], i)
				status, out := g.Backend("POST", "/v1/desks/a", name)
				switch done := made.of(name); {
				case status == 201 && done == 1:
					answered.Add(1)
				case status != 503 || done > 1:
					t.Errorf("request %s: %d %v, carried out %d times", name, status, out, done)
				}
			}
		})
	}
	for move := range 12 {
		before := answered.Load()
		n.Move("desk:a", (move+1)%3)
		relaytest.Until(t, "requests are carried out", func() bool { return answered.Load() > before+3 })
	}
	close(stop)
	work.Wait()
	relaytest.Until(t, "one node has been told that it owns the desk", func() bool {
		return all[0].owns("desk:a") && !all[1].owns("desk:a") && !all[2].owns("desk:a")
	})
}

// If the owner is lost, requests get 503 until another one has taken over, and none is carried out twice.
func TestRequestsWhenOwnerIsLost(t *testing.T) {
	n, all, made := deskNodes(t)
	n.Move("desk:a", 2)
	relaytest.Until(t, "it has moved", func() bool {
		status, out := n.Rigs[0].Backend("POST", "/v1/desks/a", "{}")
		return status == 201 && out.(map[string]any)["node"] == "node-2"
	})
	n.Cut(2)
	refused := 0
	for i := 0; ; i++ {
		name := fmt.Sprint("request ", i)
		status, out := n.Rigs[0].Backend("POST", "/v1/desks/a", name)
		done := made.of(name)
		if status == 201 {
			if done != 1 {
				t.Errorf("%s was carried out %d times", name, done)
			}
			break
		}
		if refused++; status != 503 || out.(map[string]any)["code"] != "unavailable" || done > 1 {
			t.Errorf("%s: %d %v, carried out %d times", name, status, out, done)
		}
	}
	if refused == 0 {
		t.Error("no request was refused: the test says nothing")
	}
	n.Heal()
	relaytest.Until(t, "the node that was cut off has been told that it owns nothing of this", func() bool { return !all[2].owns("desk:a") })
	last := 0
	relaytest.Until(t, "a request of the node that is back is carried out", func() bool {
		last++
		status, _ := n.Rigs[2].Backend("POST", "/v1/desks/a", fmt.Sprint("late ", last))
		return status == 201
	})
	if done := made.of(fmt.Sprint("late ", last)); done != 1 {
		t.Errorf("it was carried out %d times", done)
	}
}
