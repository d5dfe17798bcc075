package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"weir/relay/relaytest/register"
)

// registerChannel is a durable channel that is nobody else's.
const registerChannel = "disk:register"

// registerClients write and read an item, by any node of a cluster. Each is one goroutine.
type registerClients struct {
	w       *world
	history register.History
	stop    chan struct{} // closed by end
	done    sync.WaitGroup
}

// useRegister starts them; nil: nothing is durable here that outlives a node.
func (w *world) useRegister(ctx context.Context) *registerClients {
	if !w.clustered() || !w.options.Durable {
		return nil
	}
	u := &registerClients{w: w, stop: make(chan struct{})}
	for i := range 3 {
		u.done.Go(func() { u.client(ctx, i) }) // ended by end
	}
	return u
}

// end ends them, and holds what they were told against what one register could have answered.
func (u *registerClients) end() {
	if u == nil {
		return
	}
	close(u.stop)
	u.done.Wait()
	if err := u.history.Check(time.Hour); err != nil {
		u.w.story.problem("register: %v", err)
	}
}

func (u *registerClients) client(ctx context.Context, number int) {
	api := &backend{w: u.w}
	defer api.close()
	r := rand.New(rand.NewPCG(u.w.options.Seed, 300+uint64(number)))
	now := func() time.Duration { return time.Since(u.w.story.start) }
	for n := 0; ; n++ {
		select {
		case <-u.stop:
			return
		case <-time.After(time.Duration(r.IntN(2000)) * time.Millisecond):
		}
		id, from, attempts := fmt.Sprintf("%d-%d", number, n), now(), 1+r.IntN(6)
		if r.IntN(2) == 0 {
			if _, ok := u.publish(ctx, api, attempts, id, `"op":"set","group":"g","key":"register"`); ok {
				u.history.Wrote(id, from, now())
			} else {
				u.history.Tried(id, from)
			}
			continue
		}
		// A read that is certain: the last value before an event that was acknowledged.
		at, ok := u.publish(ctx, api, attempts, id, `"op":"send"`)
		if !ok {
			continue
		}
		to := now()
		if value, seen := u.last(ctx, api, at, id); seen {
			u.history.Read(value, from, to)
		}
	}
}

// publish publishes with a key, to one node after the other, until it is acknowledged or given up; then it may have been made.
func (u *registerClients) publish(ctx context.Context, api *backend, attempts int, id, members string) (at position, ok bool) {
	body := fmt.Sprintf(`{"channel":%q,%s,"idempotencyKey":%q,"data":%q}`, registerChannel, members, id, id)
	for range attempts {
		status, answer, err := api.once(ctx, request("POST", "/v1/publish", body))
		var m struct{ Position position }
		if err == nil && status == http.StatusOK && json.Unmarshal(answer, &m) == nil {
			return m.Position, true
		}
		if err == nil && status != http.StatusServiceUnavailable {
			u.w.story.problem("register: %d %s", status, answer)
		}
		api.close() // the next node
		time.Sleep(200 * time.Millisecond)
	}
	return at, false
}

// last is the value before an event; false: no node was found that has the event.
func (u *registerClients) last(ctx context.Context, api *backend, at position, id string) (value string, ok bool) {
	path := fmt.Sprintf("/v1/channels/%s/history?limit=1000&before=%d", registerChannel, at.Seq+1)
	for range attempts {
		status, answer, err := api.once(ctx, request("GET", path, ""))
		var page struct{ Changes []message }
		if err == nil && status == http.StatusOK && json.Unmarshal(answer, &page) == nil && len(page.Changes) > 0 {
			if last := page.Changes[len(page.Changes)-1]; last.Seq == at.Seq && string(last.Data) == `"`+id+`"` {
				for _, x := range page.Changes {
					if x.Op == "set" {
						_ = json.Unmarshal(x.Data, &value)
					}
				}
				return value, value != "" || page.Changes[0].Seq == 1
			}
		}
		api.close()
		time.Sleep(time.Second)
	}
	return "", false
}
