package relay

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/relay/config"
)

// At the end everything accepted is delivered, every client is told when to come back, and Serve returns
// nil. Meanwhile nobody new is let in.
func TestDrain(t *testing.T) {
	g := open(t, manyShards, func(c *config.Config) { c.Drain = 300 * time.Millisecond })
	const clients = 20
	var list []*client
	for i := range clients {
		c := g.client(fmt.Sprint("u", i))
		c.subscribe("held:1", "")
		list = append(list, c)
	}
	waiting := g.dial() // open, and nothing asked yet
	if got := g.adminStatus("/readyz"); got != 200 {
		t.Errorf("ready: %d", got)
	}
	for i := range 3 {
		g.relay.mustPublish(t, fmt.Sprintf(`{"channel":"held:1","data":%d}`, i))
	}
	stopped := make(chan error)
	go func() { stopped <- g.stop() }() // ends with the drain; waited for below
	g.until("it drains", g.relay.sessions.Draining)
	_, _ = g.relay.publishOne(nil, []byte(`{"channel":"held:1","data":"late"}`)) // may reach some, and hurts nobody
	if got := g.adminStatus("/readyz"); got != 503 {
		t.Errorf("ready while draining: %d", got)
	}
	if got := g.adminStatus("/healthz"); got != 200 {
		t.Errorf("alive while draining: %d", got)
	}
	a := g.askOn(waiting, "GET", "/sse", "", "Authorization: Bearer "+mint(t, "u1"))
	wantProblem(t, a, 503, "draining")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	var ending sync.WaitGroup
	retries := make(map[string]bool)
	var mu sync.Mutex
	for _, c := range list {
		ending.Go(func() {
			for i := range 3 {
				if h, err := c.try(); err != nil || string(h.Data) != fmt.Sprint(i) {
					t.Errorf("%s %v, want change %d", h.raw, err, i)
				}
			}
			e := c.ended()
			retry, err := strconv.Atoi(strings.TrimPrefix(e.reason, "retry="))
			if e.code != 4100 || err != nil || retry < 500 || retry > 1500 {
				t.Error(e)
			}
			mu.Lock()
			defer mu.Unlock()
			retries[e.reason] = true
		})
	}
	ending.Wait()
	if len(retries) < clients/2 {
		t.Errorf("they come back in a herd: %v", retries)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if nc, err := http.Get("http://" + g.public + "/"); err == nil {
		_ = nc.Body.Close()
		t.Error("still listening")
	}
}

// adminStatus is the status of a page of the admin listener.
func (g *rig) adminStatus(path string) int {
	g.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + g.admin + path)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// What was accepted right before the end, by requests that are answered, is delivered: whoever published
// it and whenever the end comes.
func TestNothingAcceptedIsLeftBehind(t *testing.T) {
	for round := range 5 {
		g := open(t, manyShards)
		c := g.client("u1")
		c.subscribe("held:1", "")
		accepted := make(chan position, 1<<16)
		var publishing sync.WaitGroup
		for range 2 {
			publishing.Go(func() {
				for {
					if g.relay.sessions.Draining() {
						return
					}
					answer, err := g.relay.publishOne(nil, []byte(`{"channel":"held:1","data":1}`))
					if !g.relay.sessions.Draining() && err == nil { // its answer was on its way before the end
						accepted <- heardIn(t, answer).Position
					}
				}
			})
		}
		stopped := make(chan error)
		go func() { // ends with the drain; waited for below
			for len(accepted) < 50*(round+1) {
				<-time.After(time.Millisecond)
			}
			stopped <- g.stop()
		}()
		last := uint64(0)
		for {
			h, err := c.try()
			if err != nil {
				break
			}
			if last++; h.Seq != last {
				t.Fatalf("change %d, want %d", h.Seq, last)
			}
		}
		_ = c.nc.Close()
		publishing.Wait()
		close(accepted)
		most := uint64(0)
		for at := range accepted {
			most = max(most, at.Seq)
		}
		if last < most {
			t.Errorf("round %d: %d accepted, %d delivered", round, most, last)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
}

// Clients that do not answer their close hold the end up for a bounded time only.
func TestDrainOfSilentClients(t *testing.T) {
	t.Parallel()
	g := open(t)
	c := g.client("u1")
	start := time.Now()
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("%v", took)
	}
	if e := c.ended(); e.code != 4100 {
		t.Error(e)
	}
}
