package notify

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay/config"
	"weir/relay/systems/notify/hosts"
	"weir/relay/systems/notify/token"
)

// stub is a sender in memory. Its function may block.
type stub struct {
	answer func(ctx context.Context, d *device, try int) outcome

	mu    sync.Mutex
	tries map[string]int // by token
	at    map[string][]time.Time

	now, most atomic.Int32 // at once
}

func (s *stub) send(ctx context.Context, d *device, _ *notification) outcome {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	s.mu.Lock()
	if s.tries == nil {
		s.tries, s.at = make(map[string]int), make(map[string][]time.Time)
	}
	s.tries[d.Token]++
	try := s.tries[d.Token]
	s.at[d.Token] = append(s.at[d.Token], time.Now())
	s.mu.Unlock()
	return s.answer(ctx, d, try)
}

func (s *stub) times(token string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[token]
}

// desk is a queue with a stub.
type desk struct {
	*queue
	*stub
	t      *testing.T
	cancel context.CancelFunc

	mu   sync.Mutex
	over []*delivery
}

func newDesk(t *testing.T, change func(c *Config), answer func(ctx context.Context, d *device, try int) outcome) *desk {
	t.Helper()
	c := *config.Of[Config](new(config.Config))
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &desk{queue: newQueue(ctx, c, slog.New(slog.DiscardHandler), func(string, any) {}), stub: &stub{answer: answer}, t: t, cancel: cancel}
	k.transports = map[string]transport{kindFCM: k.stub, kindWebhook: k.stub}
	k.forget = func(string, *device) bool { return true }
	k.done = func(d *delivery) bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.over = append(k.over, d)
		return true
	}
	k.counters = newCounters(metrics.NewSet(), []string{kindFCM, kindWebhook}, k.waiting)
	return k
}

func (k *desk) close() {
	k.cancel()
	k.stop()
}

// send sends a notification to devices with tokens of those names.
func (k *desk) tell(id string, tokens ...string) {
	k.t.Helper()
	d, _, err := k.reserve("u1", &notification{content: content{ID: id}}, time.Now())
	if err != nil || d == nil {
		k.t.Fatal(err, d)
	}
	var list []*device
	for _, token := range tokens {
		list = append(list, &device{Kind: kindFCM, Token: token})
	}
	k.start(d, list)
}

func (k *desk) wantOver(want ...string) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	var got []string
	for _, d := range k.over {
		got = append(got, fmt.Sprintf("%s %d/%d-%d", d.n.ID, d.delivered, d.devices, d.pruned))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		k.t.Errorf("over: %v, want %v", got, want)
	}
}

// Why a push does not arrive stands in the log, once a minute for each way to fail.
func TestFailuresAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t, nil, func(_ context.Context, d *device, _ int) outcome {
			switch d.Token {
			case "away":
				return outcome{verdict: failed, problem: "name not found"}
			case "large":
				return outcome{verdict: refused, problem: "it returned status 413"}
			}
			return outcome{verdict: gone, problem: "it returned status 410"}
		})
		var log bytes.Buffer
		k.log = slog.New(slog.NewTextHandler(&log, nil))
		defer k.close()
		k.tell("n1", "away", "away", "large", "no more")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		for want, times := range map[string]int{`kind=fcm problem="name not found"`: 1, `kind=fcm problem="it returned status 413"`: 1, "410": 0} {
			if n := strings.Count(log.String(), want); n != times {
				t.Errorf("%s is told %d times: %s", want, n, log.String())
			}
		}
	})
}

// All devices are tried at once, up to the bound; one that hangs holds up no other.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t, func(c *Config) { c.Parallel = 4 }, func(ctx context.Context, d *device, _ int) outcome {
			wait := time.Second
			if d.Token == "hangs" {
				wait = time.Hour
			}
			select {
			case <-ctx.Done():
				return silence(ctx.Err())
			case <-time.After(wait):
				return outcome{verdict: delivered}
			}
		})
		defer k.close()
		k.tell("n1", "hangs", "a", "b", "c", "d", "e", "f", "g", "h", "i")
		time.Sleep(3500 * time.Millisecond)
		if most := k.most.Load(); most != 4 {
			t.Errorf("%d at once, want 4", most)
		}
		for _, token := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
			if len(k.times(token)) != 1 {
				t.Errorf("%s waits for what hangs", token)
			}
		}
		k.wantOver()
		time.Sleep(10 * time.Minute)
		k.wantOver("n1 9/10-0")
		if k.waiting() != 0 {
			t.Error("it is still under way")
		}
	})
}

// A device that fails is tried again with growing, random pauses, until its time is over.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		k := newDesk(t, func(c *Config) { c.Retry = time.Hour }, func(context.Context, *device, int) outcome { return outcome{verdict: failed} })
		defer k.close()
		k.tell("n1", "a", "b")
		time.Sleep(2 * time.Hour)
		k.wantOver("n1 0/2-0")
		a := k.times("a")
		if len(a) < 60 || len(a) > 400 {
			t.Errorf("%d tries in an hour", len(a))
		}
		if last := a[len(a)-1].Sub(began); last > time.Hour || last < 58*time.Minute {
			t.Errorf("the last try was after %v", last)
		}
		for i := 1; i < len(a); i++ {
			bound := longestBackoff
			if i < 8 {
				bound = min(bound, firstBackoff<<(i-1))
			}
			if pause := a[i].Sub(a[i-1]); pause > bound+100*time.Millisecond {
				t.Errorf("pause %d: %v", i, pause)
			}
		}
		if b := k.times("b"); a[1].Equal(b[1]) {
			t.Error("what failed together comes back together")
		}
	})
}

// Retry-After is honoured, and not by everybody in the same moment. What asks for more than there is time is
// given up.
func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t, nil, func(_ context.Context, d *device, try int) outcome {
			switch {
			case d.Token == "never":
				return outcome{verdict: failed, wait: time.Hour}
			case try == 1:
				return outcome{verdict: failed, wait: 30 * time.Second}
			}
			return outcome{verdict: delivered}
		})
		defer k.close()
		k.tell("n1", "a", "b", "never")
		time.Sleep(5 * time.Minute)
		k.wantOver("n1 2/3-0")
		a, b := k.times("a"), k.times("b")
		if pause := a[1].Sub(a[0]); pause < 30*time.Second || pause > 32*time.Second {
			t.Error(pause)
		}
		if a[1].Equal(b[1]) {
			t.Error("no jitter")
		}
		if n := len(k.times("never")); n != 1 {
			t.Errorf("%d tries", n)
		}
	})
}

// A host that does not answer is given a rest: it takes neither workers nor connections meanwhile, and others do
// not notice.
func TestSilentHostRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		k := newDesk(t, func(c *Config) { c.Parallel, c.Retry = 4, time.Hour }, func(ctx context.Context, d *device, _ int) outcome {
			if d.Kind == kindWebhook && down.Load() {
				<-ctx.Done()
				return silence(context.DeadlineExceeded)
			}
			return outcome{verdict: delivered}
		})
		defer k.close()
		for i := range 200 {
			d, _, err := k.reserve("u1", &notification{content: content{ID: fmt.Sprint("n", i)}}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			k.start(d, []*device{{Kind: kindWebhook, URL: "https://slow.example/x", Token: "slow"}, {Kind: kindFCM, Token: fmt.Sprint("quick", i)}})
		}
		time.Sleep(20 * time.Second)
		quick := 0
		for i := range 200 {
			quick += len(k.times(fmt.Sprint("quick", i)))
		}
		if quick != 200 {
			t.Errorf("%d of 200 others were told", quick)
		}
		time.Sleep(10 * time.Minute)
		if n := len(k.times("slow")); n > 150 {
			t.Errorf("it was asked %d times", n)
		}
		down.Store(false)
		time.Sleep(2 * time.Minute)
		if k.waiting() != 0 || len(k.hosts) != 0 {
			t.Errorf("%d wait, %d hosts", k.waiting(), len(k.hosts))
		}
	})
}

// Hosts that are watched are bounded.
func TestHostsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := make(hosts.Hosts)
		d := func(i int) string { return fmt.Sprintf("h%d.example", i) }
		for i := range 3 * hosts.Max {
			h.Note(d(i), true, time.Now())
		}
		if len(h) > hosts.Max {
			t.Errorf("%d hosts", len(h))
		}
		time.Sleep(time.Hour)
		for range hosts.RestAfter {
			h.Note(d(-1), true, time.Now())
		}
		if h.Rests(d(-1), time.Now()).IsZero() {
			t.Error("a host is not watched for those that were")
		}
		h.Note(d(-1), false, time.Now())
		if !h.Rests(d(-1), time.Now()).IsZero() {
			t.Error("a host that answers rests")
		}
	})
}

// So many are under way and no more; one is not under way twice.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t, func(c *Config) { c.Queue, c.Parallel = 3, 1 }, func(context.Context, *device, int) outcome {
			time.Sleep(time.Second)
			return outcome{verdict: delivered}
		})
		defer k.close()
		for i := range 3 {
			k.tell(fmt.Sprint("n", i), "a")
		}
		if d, earlier, err := k.reserve("u1", &notification{content: content{ID: "n1"}}, time.Now()); d != nil || earlier == nil || err != nil {
			t.Error("it is under way already", d, err)
		}
		if _, _, err := k.reserve("u1", &notification{content: content{ID: "n3"}}, time.Now()); err != errFull {
			t.Error(err)
		}
		time.Sleep(1500 * time.Millisecond)
		k.tell("n3", "a")
		time.Sleep(time.Minute)
		k.wantOver("n0 1/1-0", "n1 1/1-0", "n2 1/1-0", "n3 1/1-0")
	})
}

// A shutdown sends what is due, and leaves what waits for its next try.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t, func(c *Config) { c.Parallel = 2 }, func(_ context.Context, d *device, _ int) outcome {
			time.Sleep(10 * time.Millisecond)
			if d.Token == "down" {
				return outcome{verdict: failed}
			}
			return outcome{verdict: delivered}
		})
		for i := range 20 {
			k.tell(fmt.Sprint("n", i), "a")
		}
		k.tell("last", "a", "down")
		ctx, cancel := context.WithTimeout(context.Background(), lastChance)
		defer cancel()
		k.finish(ctx)
		k.cancel()
		if left := k.stop(); left != 1 || len(k.over) != 20 {
			t.Errorf("%d are left, %d over", left, len(k.over))
		}
		if _, _, err := k.reserve("u1", &notification{content: content{ID: "late"}}, time.Now()); err != errFull {
			t.Error("it is closed", err)
		}
	})
}

// A sender that panics costs one attempt.
func TestPanicsAreContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t, nil, func(context.Context, *device, int) outcome { panic("a key it does not like") })
		defer k.close()
		k.tell("n1", "a")
		synctest.Wait()
		k.wantOver("n1 0/1-0")
	})
}

// Tokens are fetched once for all who wait; a fetch that fails is told to all of them and tried again by the next.
func TestTokenIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		x := &token.Token{Fetch: func(context.Context) (string, time.Time, error) {
			fetched++
			n := fetched
			time.Sleep(time.Second)
			if n == 1 {
				return "", time.Time{}, fmt.Errorf("no. %d", n)
			}
			return fmt.Sprint("t", n), time.Now().Add(time.Minute), nil
		}}
		get := func(want string) {
			t.Helper()
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					got, err := x.Get(context.Background())
					if got != want || (err != nil) != (want == "") {
						t.Errorf("%q, %v, want %q", got, err, want)
					}
				})
			}
			all.Wait()
		}
		get("")
		get("t2")
		get("t2")
		x.Drop("t1")
		get("t2")
		x.Drop("t2")
		get("t3")
		time.Sleep(time.Minute)
		get("t4")
		if fetched != 4 {
			t.Errorf("fetched %d times", fetched)
		}
		time.Sleep(time.Hour)
		waiting, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		go func() { _, _ = x.Get(context.Background()) }()
		synctest.Wait()
		if _, err := x.Get(waiting); err != context.DeadlineExceeded {
			t.Error("a waiter with a deadline of its own", err)
		}
		time.Sleep(time.Second)
	})
}
