package batch

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flushed is a batch as a sink saw it.
type flushed struct {
	at        time.Time
	body      string
	count     int
	last      uint64
	conflated int
	exclusive bool
	excludes  bool
	since     time.Time
	entries   []Entry
}

// record is a sink that keeps what it is given.
type record struct {
	mu      sync.Mutex
	batches []flushed
	during  func() // called in Flush, for what happens meanwhile
}

func (r *record) Flush(b *Batch) {
	f := flushed{at: time.Now(), body: string(b.Body), count: b.Count, last: b.Last, conflated: b.Conflated, exclusive: b.Exclusive, excludes: b.Excludes, since: b.Since}
	b.Each(func(e Entry) {
		e.Bytes = []byte(string(e.Bytes))
		f.entries = append(f.entries, e)
	})
	r.mu.Lock()
	r.batches = append(r.batches, f)
	during := r.during
	r.during = nil
	r.mu.Unlock()
	if during != nil {
		during()
	}
}

func (r *record) Missed(uint64) { panic("nothing panics here") }

// take is the bodies of the batches since the last call, batches apart by "|".
func (r *record) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var bodies []string
	for _, f := range r.batches {
		bodies = append(bodies, f.body)
	}
	r.batches = nil
	return strings.Join(bodies, "|")
}

// loop drives a batcher as a shard does: it runs it when it says so or wakes. It belongs to a bubble.
type loop struct {
	*Batcher
	wake  chan struct{}
	calls chan func() // run on the loop
	runs  int
}

func newLoop(t *testing.T, cfg Config) *loop {
	l := &loop{wake: make(chan struct{}, 1), calls: make(chan func())}
	cfg.Wake = func() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.Batcher = New(cfg)
	done := make(chan struct{})
	go func() {
		for {
			l.runs++
			next := l.Run(time.Now())
			var tick <-chan time.Time
			if !next.IsZero() {
				tick = time.After(time.Until(next))
			}
			select {
			case <-tick:
			case <-l.wake:
			case f := <-l.calls:
				f()
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { close(done) })
	return l
}

// do calls f on the loop, which so cannot run in between.
func (l *loop) do(f func()) {
	l.calls <- f
	synctest.Wait()
}

// spent tells the batcher that it has been writing for d until now.
func (l *loop) spent(d time.Duration) { l.do(func() { l.Spent(d, time.Now(), 1, 1) }) }

// after lets d pass and the loop do what is due.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func want(t *testing.T, r *record, bodies string) {
	t.Helper()
	if got := r.take(); got != bodies {
		t.Fatalf("flushed %q, want %q", got, bodies)
	}
}

func send(seq uint64, body string) Message { return Message{Bytes: []byte(body), Seq: seq} }

func set(seq uint64, key, body string) Message {
	return Message{Bytes: []byte(body), Seq: seq, Group: "g", Key: key, Set: true}
}
