package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/broker"
	"weir/internal/sign"
	"weir/relay/hub"
)

func key(t testing.TB, secret string) []byte {
	t.Helper()
	k, err := sign.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const testSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// receiver is an endpoint's other side, in memory: what answers, and what came. Its handler may block.
type receiver struct {
	handle func(n int, e string) (status int, header http.Header, err error)

	mu  sync.Mutex
	got []string // events, as the last part of their data, in the order in which they came
	at  []time.Time
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_, data, _ := strings.Cut(string(body), `"data":`)
	data = strings.TrimSuffix(data, "}")
	r.mu.Lock()
	n := len(r.got)
	r.got, r.at = append(r.got, data), append(r.at, time.Now())
	r.mu.Unlock()
	type answer struct {
		status int
		header http.Header
		err    error
	}
	answered := make(chan answer, 1)
	go func() { // ends by itself
		status, header, err := r.handle(n, data)
		answered <- answer{status, header, err}
	}()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case a := <-answered:
		if a.err != nil {
			return nil, a.err
		}
		return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader("ok"))}, nil
	}
}

func (r *receiver) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

// bench is an endpoint with its broker.
type bench struct {
	*endpoint
	*receiver
	t      *testing.T
	broker *broker.Broker
	cancel context.CancelFunc
}

func newBench(t *testing.T, w Webhook, b *broker.Broker, handle func(n int, e string) (int, http.Header, error)) *bench {
	t.Helper()
	w.Name, w.URL = "shop", "http://shop.example/events"
	if w.Timeout == 0 {
		w.Timeout = 2 * time.Second
	}
	if w.Retry == 0 {
		w.Retry = 24 * time.Hour
	}
	if w.Queue == 0 {
		w.Queue = 1000
	}
	if b == nil {
		var err error
		if b, err = broker.New(broker.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &receiver{handle: handle}
	p := &endpoint{config: w, keys: [][]byte{key(t, testSecret)}, store: newStore(w.Name, b), client: &http.Client{Transport: r}, log: slog.New(slog.DiscardHandler)}
	p.queue = p.newQueue(ctx)
	p.counters = newCounters(metrics.NewSet(), p)
	return &bench{p, r, t, b, cancel}
}

// close ends the endpoint, and its broker.
func (b *bench) close() {
	b.end()
	_ = b.broker.Close()
}

func (b *bench) end() {
	b.cancel()
	b.stop()
}

func (b *bench) tell(key string, n int) {
	b.accept(newEvent(&hub.Event{Topic: "chat.message.sent", Key: key, Data: fmt.Append(nil, n)}, time.Now()))
}

func (b *bench) wantStatus(want status) {
	b.t.Helper()
	want.Name = "shop"
	if got := b.status(); got != want {
		b.t.Errorf("status %+v, want %+v", got, want)
	}
}

func ok(int, string) (int, http.Header, error) { return 204, nil, nil }

// Events of a key come in order, one at a time, whatever goes wrong; those of other keys do not wait.
func TestOrderByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := make(map[string]int)
		var mu sync.Mutex
		b := newBench(t, Webhook{}, nil, func(_ int, e string) (int, http.Header, error) {
			mu.Lock()
			tries[e]++
			n := tries[e]
			mu.Unlock()
			if e == "1" && n <= 3 {
				return 500, nil, nil
			}
			return 200, nil, nil
		})
		defer b.close()
		b.tell("room:a", 1)
		b.tell("room:a", 2)
		b.tell("room:b", 3)
		b.tell("", 4)
		b.tell("", 5)
		time.Sleep(10 * time.Millisecond)
		if got := strings.Join(b.all(), " "); strings.Contains(got, "2") || len(b.all()) != 4 {
			t.Error("others wait for a key that failed, or its next event overtook:", got)
		}
		time.Sleep(time.Minute)
		all := b.all()
		if got := strings.Join(all[len(all)-2:], " "); got != "1 2" || len(all) != 8 {
			t.Error(all)
		}
		b.wantStatus(status{State: stateUp})
	})
}

// A receiver that is down is asked now and then, and gets everything when it is back.
func TestDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		b := newBench(t, Webhook{}, nil, func(int, string) (int, http.Header, error) {
			if down.Load() {
				return 0, nil, errors.New("connection refused")
			}
			return 200, nil, nil
		})
		defer b.close()
		for i := range 100 {
			b.tell(fmt.Sprint("room:", i%10), i)
		}
		time.Sleep(time.Hour)
		b.wantStatus(status{State: stateDown, Waiting: 100})
		asked := len(b.all())
		if asked < 60 || asked > 60*3 {
			t.Errorf("asked %d times in an hour", asked)
		}
		down.Store(false)
		time.Sleep(2 * time.Minute)
		b.wantStatus(status{State: stateUp})
		last := make(map[int]int)
		for _, e := range b.all()[asked:] {
			var n int
			_, _ = fmt.Sscan(e, &n)
			if before, seen := last[n%10]; seen && n <= before {
				t.Errorf("%d after %d", n, before)
			}
			last[n%10] = n
		}
	})
}

// What is too old is given up, and can be sent again.
func TestExpiryAndReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		b := newBench(t, Webhook{}, nil, func(int, string) (int, http.Header, error) {
			if down.Load() {
				return 503, nil, nil
			}
			return 200, nil, nil
		})
		defer b.close()
		for i := range 20 {
			b.tell("room:a", i)
		}
		time.Sleep(23 * time.Hour)
		b.wantStatus(status{State: stateDown, Waiting: 20})
		time.Sleep(time.Hour + 2*longestRest)
		b.wantStatus(status{State: stateDown, Dead: 20})
		state, _ := b.broker.Read("webhook:dead:shop", nil)
		if !strings.Contains(string(state.State), `"reason":"expired","problem":"it returned status 503"`) {
			t.Errorf("%s", state.State)
		}
		down.Store(false)
		if n, left, err := b.replay(nil); n != 20 || left != 0 || err != nil {
			t.Fatal(n, left, err)
		}
		time.Sleep(time.Second)
		b.wantStatus(status{State: stateUp})
		all := b.all()
		for i, e := range all[len(all)-20:] {
			if e != fmt.Sprint(i) {
				t.Fatal("replayed out of order", all)
			}
		}
	})
}

// A receiver that is slow costs its timeout and no more, and no other key waits.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{}, nil, func(n int, _ string) (int, http.Header, error) {
			if n == 0 {
				time.Sleep(time.Hour)
			}
			return 200, nil, nil
		})
		defer func() { b.close(); time.Sleep(time.Hour) }()
		b.tell("room:a", 1)
		synctest.Wait()
		b.tell("room:b", 2)
		time.Sleep(time.Second)
		b.wantStatus(status{State: stateUp, Waiting: 1})
		time.Sleep(5 * time.Second)
		b.wantStatus(status{State: stateUp})
		if got := strings.Join(b.all(), " "); got != "1 2 1" {
			t.Error(got)
		}
	})
}

// Retry-After is peace for all events of the endpoint.
func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := newBench(t, Webhook{}, nil, func(n int, _ string) (int, http.Header, error) {
			if n == 0 {
				return 429, http.Header{"Retry-After": {"600"}}, nil
			}
			return 200, nil, nil
		})
		defer b.close()
		b.tell("room:a", 1)
		synctest.Wait()
		b.tell("room:b", 2)
		b.wantStatus(status{State: statePaused, Waiting: 2})
		time.Sleep(20 * time.Minute)
		b.wantStatus(status{State: stateUp})
		if len(b.at) != 3 || b.at[1].Sub(start) < 10*time.Minute {
			t.Error(b.at)
		}
	})
}

// A 410 disables the endpoint, until an operator replays.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer atomic.Int32
		answer.Store(410)
		b := newBench(t, Webhook{}, nil, func(int, string) (int, http.Header, error) { return int(answer.Load()), nil, nil })
		defer b.close()
		for i := range 50 {
			b.tell("room:a", i)
		}
		synctest.Wait()
		b.tell("room:b", 50)
		time.Sleep(time.Hour)
		b.wantStatus(status{State: stateDisabled, Dead: 51})
		if n := len(b.all()); n != 1 {
			t.Errorf("asked %d times", n)
		}
		answer.Store(200)
		list, err := b.store.events(b.store.dead)
		if err != nil {
			t.Fatal(err)
		}
		if n, left, err := b.replay([]string{list[3].id}); n != 1 || left != 0 || err != nil {
			t.Fatal(n, left, err)
		}
		synctest.Wait()
		b.wantStatus(status{State: stateUp, Dead: 50})
	})
}

// An event that the receiver refuses is given up at once; the next of its key goes on.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{}, nil, func(_ int, e string) (int, http.Header, error) {
			if e == "1" {
				return 422, nil, nil
			}
			return 200, nil, nil
		})
		defer b.close()
		b.tell("room:a", 1)
		b.tell("room:a", 2)
		synctest.Wait()
		b.wantStatus(status{State: stateUp, Dead: 1})
		if got := strings.Join(b.all(), " "); got != "1 2" {
			t.Error(got)
		}
	})
}

// A full queue keeps what it has; what is newer goes to the dead letters, whose oldest go first.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{Queue: 10}, nil, func(int, string) (int, http.Header, error) { return 500, nil, nil })
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		defer b.close()
		for i := range 10 + maxDead + 5 {
			b.tell("room:a", i)
		}
		time.Sleep(time.Minute)
		b.wantStatus(status{State: stateDown, Waiting: 10, Dead: maxDead})
		list, err := b.store.events(b.store.dead)
		if err != nil || len(list) != maxDead || !strings.HasSuffix(string(list[0].body), `"data":15}`) {
			t.Errorf("%v, %d, %s", err, len(list), list[0].body)
		}
		if n := b.counters.dead["full"].Get(); n != maxDead+5 {
			t.Errorf("%d are counted", n)
		}
		if n, left, err := b.replay(nil); n != 0 || left != maxDead || err != nil {
			t.Error(n, left, err)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "given up"); n != 1 || !strings.Contains(log.String(), "reason=full") {
			t.Errorf("the log is told of %d in one moment: %s", n, log.String())
		}
	})
}

// Why an event was given up stands in the log, also where the endpoint answers others.
func TestGivenUpIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{Retry: 2 * time.Second}, nil, func(_ int, e string) (int, http.Header, error) {
			return map[string]int{"1": 422, "2": 503}[e], nil, nil
		})
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		defer b.close()
		b.tell("room:a", 1)
		b.tell("room:b", 2)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, want := range []string{`reason=refused problem="it returned status 422"`, `reason=expired problem="it returned status 503"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %s in the log: %s", want, log.String())
			}
		}
	})
}

// What waits when the relay ends is sent by the next one that finds it in its channel.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{}, nil, func(int, string) (int, http.Header, error) { return 500, nil, nil })
		for i := range 30 {
			b.tell("room:a", i)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), lastChance)
		b.finish(ctx)
		cancel()
		b.end()
		next := newBench(t, Webhook{}, b.broker, ok)
		defer next.close()
		if err := next.restore(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		next.wantStatus(status{State: stateUp})
		for i, e := range next.all() {
			if e != fmt.Sprint(i) {
				t.Fatal(next.all())
			}
		}
		if len(next.all()) != 30 {
			t.Error(next.all())
		}
		if item, ok := b.broker.Read("webhook:queue:shop", nil); ok && string(item.State) != "{}" {
			t.Errorf("left behind: %s", item.State)
		}
	})
}

// A shutdown sends what is due.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{}, nil, func(int, string) (int, http.Header, error) {
			time.Sleep(10 * time.Millisecond)
			return 200, nil, nil
		})
		defer b.close()
		for i := range 100 {
			b.tell("room:a", i)
		}
		ctx, cancel := context.WithTimeout(context.Background(), lastChance)
		defer cancel()
		b.finish(ctx)
		if n := len(b.all()); n != 100 {
			t.Errorf("%d were sent", n)
		}
	})
}

// Many emitters, many keys, some failures: each event arrives, in its key's order.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{Queue: 100000}, nil, func(n int, _ string) (int, http.Header, error) {
			time.Sleep(time.Millisecond)
			if n%7 == 0 {
				return 500, nil, nil
			}
			return 200, nil, nil
		})
		defer b.close()
		var emitters sync.WaitGroup
		for e := range 20 {
			emitters.Go(func() {
				for i := range 20 {
					b.tell(fmt.Sprint("room:", e), e*1000+i)
				}
			})
		}
		emitters.Wait()
		time.Sleep(3 * time.Hour)
		b.wantStatus(status{State: stateUp})
		next := make(map[int]int)
		for _, s := range b.all() {
			var n int
			_, _ = fmt.Sscan(s, &n)
			if room, i := n/1000, n%1000; i == next[room] || i+1 == next[room] { // or again
				next[room] = i + 1
			} else {
				t.Fatalf("room %d: %d when %d was next", room, i, next[room])
			}
		}
		for e := range 20 {
			if next[e] != 20 {
				t.Errorf("room %d got %d", e, next[e])
			}
		}
	})
}
