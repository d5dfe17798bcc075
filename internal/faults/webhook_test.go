//go:build faults

package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/sign"
	"weir/loadtest/check"
	"weir/relay/relaytest/ledger"
)

const hookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// receiver is an endpoint of webhooks. It checks signatures, and stamps of the events that it takes.
type receiver struct {
	*httptest.Server
	t       *testing.T
	ill     atomic.Pointer[http.HandlerFunc] // nil: it takes what comes
	asked   atomic.Int64
	longest atomic.Int64 // ns that an attempt waited

	mu sync.Mutex
	// Guarded by mu.
	ids     map[string]bool
	streams map[uint32]*check.Stream // by key
}

func newReceiver(t *testing.T) *receiver {
	h := &receiver{t: t, ids: make(map[string]bool), streams: make(map[uint32]*check.Stream)}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *receiver) serve(w http.ResponseWriter, r *http.Request) {
	h.asked.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if ill := h.ill.Load(); ill != nil {
		begin := time.Now()
		(*ill)(w, r)
		h.longest.Store(max(h.longest.Load(), int64(time.Since(begin))))
		return
	}
	key, err := sign.ParseSecret(hookSecret)
	if err == nil {
		err = sign.Verify(key, r.Header.Get(sign.HeaderID), r.Header.Get(sign.HeaderTimestamp), r.Header.Get(sign.HeaderSignature), body, time.Now())
	}
	var event struct{ Data json.RawMessage }
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	var stamp check.Stamp
	if err == nil {
		stamp, err = check.Parse(event.Data)
	}
	if err != nil {
		h.t.Errorf("%v in %s", err, body)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if id := r.Header.Get(sign.HeaderID); !h.ids[id] { // one that was sent again is known by its id
		h.ids[id] = true
		if h.streams[stamp.Channel] == nil {
			h.streams[stamp.Channel] = new(check.Stream)
		}
		h.streams[stamp.Channel].Add(stamp.Number)
	}
	w.WriteHeader(http.StatusNoContent)
}

// complete says that all of n events for each of some keys have come, once each and in order.
func (h *receiver) complete(keys int, n uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range uint32(keys) {
		s := h.streams[i]
		if s == nil || s.Missing(n) > 0 {
			return false
		}
		if s.Reordered+s.Duplicated > 0 {
			h.t.Errorf("key %d: %d out of order, %d twice", i, s.Reordered, s.Duplicated)
			return true
		}
	}
	return true
}

// An endpoint that is down, slow or answers 500 holds a bounded queue and harms no other: the healthy one gets
// everything at once, live traffic does not notice, and when the others are well again they get what waits for them.
func TestWebhooks(t *testing.T) {
	healthy, failing, slow, gone := newReceiver(t), newReceiver(t), newReceiver(t), newReceiver(t)
	failing.ill.Store(new(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })))
	slow.ill.Store(new(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })))
	nobody := gone.URL
	gone.Close()
	const queue = 200
	config := "systems: [webhook]\nwebhooks:\n"
	for name, url := range map[string]string{"healthy": healthy.URL, "failing": failing.URL, "slow": slow.URL, "down": nobody} {
		config += fmt.Sprintf("  - {name: %s, url: %q, topics: [\"order.*\"], secrets: [%q], allow_insecure: true, queue: %d}\n", name, url, hookSecret, queue)
	}
	s := newServer(t, config)
	s.start()
	w := people(s, names("kept", 2), 4, 2, 2*time.Millisecond, true)
	client := &http.Client{Timeout: 10 * time.Second}
	ledger := ledger.New()
	emit := func(keys, from, to int) {
		for n := from; n < to; n++ {
			for k := range uint32(keys) {
				stamp := ledger.Next(k, 0, 0)
				body := fmt.Sprintf(`{"topic":"order.paid","key":"order:%d","data":%s}`, k, stamp.Append(nil, 100))
				begin := time.Now()
				if status, answer := post(client, "http://"+s.listen+"/v1/events", body); status != http.StatusAccepted {
					t.Fatalf("%d %s", status, answer)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("an event was answered after %v", took)
				}
			}
		}
	}
	const keys, waits = 4, queue / 4 // fills the queues to the brim
	emit(keys, 0, waits)
	until(t, "the healthy one has all", func() bool { return healthy.complete(keys, waits) })
	for _, name := range []string{"failing", "slow", "down"} {
		until(t, name+" is known to be ill", func() bool { return s.metric(fmt.Sprintf("weir_webhook_up{endpoint=%q}", name)) == 0 })
	}
	more := times(2000, 200)
	emit(keys, waits, waits+more) // more than there is room for
	until(t, "the healthy one has all", func() bool { return healthy.complete(keys, uint64(waits+more)) })
	for _, name := range []string{"failing", "slow", "down"} {
		waiting := s.metric(fmt.Sprintf("weir_webhook_waiting{endpoint=%q}", name))
		dead := s.metric(fmt.Sprintf(`weir_webhook_dead_total{endpoint=%q,reason="full"}`, name))
		if waiting > queue || waiting+dead != float64(keys*(waits+more)) {
			t.Errorf("%s: %v events wait, %v are dead letters, of %d", name, waiting, dead, keys*(waits+more))
		}
	}
	asked := failing.asked.Load()
	<-time.After(2 * time.Second) // what is counted is a time: the breaker lets one probe through now and then
	if n := failing.asked.Load() - asked; n > 10 {
		t.Errorf("the failing endpoint was asked %d times in two seconds", n)
	}
	failing.ill.Store(nil)
	slow.ill.Store(nil)
	until(t, "the failing one has what waited", func() bool { return failing.complete(keys, waits) })
	until(t, "the slow one has what waited", func() bool { return slow.complete(keys, waits) })
	longest := time.Duration(slow.longest.Load())
	if longest > 2500*time.Millisecond {
		t.Errorf("an attempt took %v, want 2 s", longest)
	}
	w.judge()
	for _, r := range w.readers {
		if len(r.gaps) > 0 {
			t.Errorf("%s was cut off", r.seen.Name)
		}
	}
	t.Logf("healthy: %d events; failing: asked %d times; slow: longest attempt %v", keys*(waits+more), failing.asked.Load(), longest.Round(time.Millisecond))
	s.alive()
}
