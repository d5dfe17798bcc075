package retryqueue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weir/internal/contain"
	"weir/relay/systems/internal/retryqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	queue   = retryqueue.Queue[string]
	options = retryqueue.Options[string]
	batch   = retryqueue.Batch[string]
	result  = retryqueue.Result
)

// rig is a queue of texts. Each attempt is logged with its items, and outcome says what comes of it.
type rig struct {
	*queue
	t    *testing.T
	end  context.CancelFunc
	mu   sync.Mutex
	logs []string
}

// start starts a queue in a bubble of synctest.
func start(t *testing.T, o options, outcome func(ctx context.Context, b *batch)) *rig {
	t.Helper()
	r := &rig{t: t}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	o.Backoff = time.Second
	o.Attempt = func(ctx context.Context, b *batch) {
		var list []string
		for _, p := range b.Parts {
			list = append(list, strings.Join(p.Items, "+"))
		}
		r.mu.Lock()
		r.logs = append(r.logs, strings.Join(list, " "))
		r.mu.Unlock()
		outcome(ctx, b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	r.queue = retryqueue.New(ctx, o)
	return r
}

func (r *rig) stop() {
	r.end()
	r.Stop()
}

func (r *rig) want(want string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.logs, ", "); got != want {
		r.t.Errorf("attempts: %s\nwant:     %s", got, want)
	}
	r.logs = nil
}

// all settles every part with all of its items done.
func all(_ context.Context, b *batch) {
	for _, p := range b.Parts {
		b.Settle(result{Done: len(p.Items)})
	}
}

// Items of a key keep their order while one of them fails; other keys, and items without one, do not wait for it.
func TestOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []int
		r := start(t, options{Parallel: 1}, func(ctx context.Context, b *batch) {
			if p := b.Parts[0]; p.Items[0][0] == 'a' {
				if tries = append(tries, p.Tries); p.Items[0] == "a1" && p.Tries < 2 {
					b.Settle(result{At: time.Now().Add(time.Minute)})
					return
				}
			}
			all(ctx, b)
		})
		defer r.stop()
		r.Add("a", "a1", "a2")
		r.Add("b", "b1")
		r.Add("", "c1", "c2")
		synctest.Wait()
		r.want("a1, b1, c1, c2")
		if r.Len() != 2 {
			t.Error(r.Len())
		}
		time.Sleep(59 * time.Second)
		r.want("")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.want("a1, a1, a2")
		if fmt.Sprint(tries) != "[0 1 2 0]" || r.Len() != 0 {
			t.Error(tries, r.Len())
		}
	})
}

// A batch takes what is ready, up to its bounds.
func TestBatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, options{Parallel: 1, Batch: 3, MaxWeight: 6, Weight: func(item string) int { return len(item) }}, func(ctx context.Context, b *batch) {
			time.Sleep(time.Second)
			all(ctx, b)
		})
		defer r.stop()
		r.Add("x", "first")
		r.Add("a", "a1", "a2", "a3")
		r.Add("b", "b1")
		r.Add("c", "a long one", "c2")
		r.Add("d", "d1")
		time.Sleep(time.Minute)
		r.want("first, a1+a2+a3, b1, a long one, d1 c2")
	})
}

// What is to be attempted alone is, one item at a time and at once; what comes behind it in its lane is not.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, options{Parallel: 1, Batch: 3, MaxWeight: 100}, func(ctx context.Context, b *batch) {
			time.Sleep(time.Second)
			if len(b.Parts[0].Items) == 3 {
				b.Settle(result{Alone: true})
				return
			}
			all(ctx, b)
		})
		defer r.stop()
		r.Add("a", "a1", "a2", "a3", "a4", "a5")
		r.Add("b", "b1")
		time.Sleep(time.Minute)
		r.want("a1+a2+a3, b1, a1, a2, a3, a4+a5")
	})
}

// A gate that is closed holds everything up, until the time that it names or until Kick.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		open, again := false, time.Now().Add(time.Minute)
		set := func(o bool, a time.Time) {
			mu.Lock()
			defer mu.Unlock()
			open, again = o, a
		}
		r := start(t, options{Gate: func(now time.Time) (bool, time.Time) {
			mu.Lock()
			defer mu.Unlock()
			return open || !again.IsZero() && !now.Before(again), again
		}}, all)
		defer r.stop()
		r.Add("a", "a1")
		time.Sleep(59 * time.Second)
		r.want("")
		time.Sleep(time.Second)
		synctest.Wait()
		r.want("a1")
		set(false, time.Time{})
		r.Add("a", "a2")
		time.Sleep(time.Hour)
		r.want("")
		set(true, time.Time{})
		r.Kick()
		synctest.Wait()
		r.want("a2")
	})
}

// A lane that has to rest makes room for others, and what waits is ready at once when RetryNow is called.
func TestRestAndRetryNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Minute)
		r := start(t, options{Parallel: 1, Rest: func(first string, now time.Time) time.Time {
			if first == "tired" && now.Before(until) {
				return until
			}
			return time.Time{}
		}}, func(ctx context.Context, b *batch) {
			if p := b.Parts[0]; p.Items[0] == "fails" && p.Tries == 0 {
				b.Settle(result{At: time.Now().Add(time.Hour)})
				return
			}
			all(ctx, b)
		})
		defer r.stop()
		r.Add("", "tired", "fresh", "fails")
		time.Sleep(59 * time.Second)
		r.want("fresh, fails")
		time.Sleep(2 * time.Second)
		r.want("tired")
		r.RetryNow()
		synctest.Wait()
		r.want("fails")
	})
}

// Reserve bounds the items, those that are only to come included; Add does not mind.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, options{Limit: 2, Gate: func(time.Time) (bool, time.Time) { return false, time.Time{} }}, all)
		defer r.stop()
		if one, two, three := r.Reserve(), r.Reserve(), r.Reserve(); !one || !two || three {
			t.Fatal("a place of two was refused, or a third one given")
		}
		r.Fill("a", "a1")
		r.Release()
		if r.Len() != 1 || !r.Reserve() || r.Reserve() {
			t.Error(r.Len())
		}
		r.Fill("a", "a2")
		r.Add("a", "a3")
		if r.Len() != 3 || r.Reserve() {
			t.Error(r.Len())
		}
		if removed := r.Remove(func(item string) bool { return item != "a2" }); strings.Join(removed, " ") != "a1 a3" || r.Len() != 1 {
			t.Error(removed, r.Len())
		}
	})
}

// What waits is attempted at its time, also after others were removed from among it.
func TestRemoveKeepsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, options{Parallel: 1}, func(ctx context.Context, b *batch) {
			if p := b.Parts[0]; p.Tries == 0 {
				after, err := time.ParseDuration(p.Items[0])
				if err != nil {
					t.Error(err)
				}
				b.Settle(result{At: time.Now().Add(after)})
				return
			}
			all(ctx, b)
		})
		defer r.stop()
		r.Add("", "1m", "5m", "2m", "7m", "6m", "4m", "3m")
		synctest.Wait()
		r.want("1m, 5m, 2m, 7m, 6m, 4m, 3m")
		r.Remove(func(item string) bool { return item == "1m" })
		time.Sleep(150 * time.Second)
		r.want("2m")
		time.Sleep(time.Hour)
		r.want("3m, 4m, 5m, 6m, 7m")
	})
}

// Finish attempts what is ready and returns then; what waits stays where it is.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, options{Parallel: 1}, func(ctx context.Context, b *batch) {
			time.Sleep(time.Second)
			if b.Parts[0].Items[0] == "fails" {
				b.Settle(result{At: time.Now().Add(time.Minute)})
				return
			}
			all(ctx, b)
		})
		r.Add("", "fails", "b", "c", "d", "e")
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.Finish(ctx, nil)
		if took := time.Since(began); took != 5*time.Second || r.Len() != 1 {
			t.Error(took, r.Len())
		}
		r.want("fails, b, c, d, e")
		r.stop()
		r.Add("", "late")
		r.want("")
	})
}

// Finish does not outlive its context, nor what is not due.
func TestFinishIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, options{Parallel: 1}, func(ctx context.Context, b *batch) { <-ctx.Done() })
		r.Add("", "a", "b")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.Finish(ctx, nil)
		r.stop()
		shut := start(t, options{Gate: func(time.Time) (bool, time.Time) { return false, time.Time{} }}, all)
		shut.Add("", "a")
		shut.Finish(context.Background(), func() bool { return false })
		shut.stop()
	})
}

// A panic, wherever it comes, costs no item and no attempt that follows.
func TestPanics(t *testing.T) {
	for _, place := range []string{"schedule of a queue", "timer of a queue", "attempt of a queue", "Attempt", "end of a queue"} {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				thrown := 0
				throw := func(where string) {
					if where == place && thrown == 0 {
						thrown++
						panic("thrown by the test at " + where)
					}
				}
				contain.Throw(throw)
				defer contain.Throw(nil)
				r := start(t, options{Parallel: 1, Contain: func(string, any) {}}, func(ctx context.Context, b *batch) {
					throw("Attempt")
					if p := b.Parts[0]; p.Tries == 0 {
						b.Settle(result{At: time.Now().Add(time.Minute)})
						return
					}
					if b.Parts[0].Items[0] == "hangs" {
						<-ctx.Done()
					}
					all(ctx, b)
				})
				r.Add("a", "a1", "a2")
				time.Sleep(time.Hour)
				if r.Len() != 0 {
					t.Errorf("%d items are left", r.Len())
				}
				r.Add("a", "hangs")
				time.Sleep(time.Hour)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				r.Finish(ctx, nil)
				r.stop()
				if thrown != 1 {
					t.Error("nothing has come there")
				}
			})
		})
	}
}
