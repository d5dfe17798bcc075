package retryqueue

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"weir/internal/contain"
)

// Options say how a queue works. Attempt, Parallel and Backoff are required.
type Options[T any] struct {
	// Attempt attempts the items of a batch and settles its parts. It runs on a goroutine of its own, several at once.
	// What it leaves unsettled waits for Backoff. It ends soon after ctx does.
	Attempt func(ctx context.Context, b *Batch[T])

	Parallel  int              // attempts in flight
	Batch     int              // items of an attempt; 1
	Weight    func(item T) int // of an item, in bytes; nil: items weigh nothing
	MaxWeight int              // of an attempt with more than one item
	Limit     int              // items in the queue, as Reserve sees it
	Backoff   time.Duration    // after a panic

	// Gate is asked before each attempt whether one may begin, and otherwise when to ask again; zero: when an attempt
	// has ended or Kick is called. Nil: it may.
	Gate func(now time.Time) (ok bool, again time.Time)

	// Rest returns until when the lane with this first item has to wait; zero: it need not. Nil: none has to.
	Rest func(first T, now time.Time) time.Time

	Contain contain.Hook
}

// Queue is a queue of items by key. Its methods may be called concurrently.
type Queue[T any] struct {
	// Set once by New.
	options Options[T]
	ctx     context.Context // of attempts

	// Guarded by mu.
	mu       sync.Mutex
	lanes    map[string]*lane[T] // those with a key and items
	ready    []*lane[T]          // in the order in which they became so
	later    byTime[T]
	size     int // items, and places reserved
	inFlight int // attempts
	closing  bool
	timer    *time.Timer // for what is due next; nil until it is needed
	idle     *sync.Cond  // an attempt has ended; its lock is mu

	work sync.WaitGroup // attempts; Stop waits
}

// lane is the items of one key.
type lane[T any] struct {
	key   string
	items []T
	at    time.Time // of the next attempt, while it is in later
	taken int       // so many of the first items are in flight
	tries int       // at the first item
	alone int       // so many of the first items are attempted one at a time
	one   [1]T      // memory of a lane with one item
}

// New returns an empty queue. Nothing is attempted once ctx is done.
func New[T any](ctx context.Context, o Options[T]) *Queue[T] {
	q := &Queue[T]{options: o, ctx: ctx, lanes: make(map[string]*lane[T])}
	q.idle = sync.NewCond(&q.mu)
	return q
}

// Reserve takes a place for an item that is to be added with Fill. It returns false if the queue is full.
func (q *Queue[T]) Reserve() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.size >= q.options.Limit {
		return false
	}
	q.size++
	return true
}

// Release gives back a place that was reserved.
func (q *Queue[T]) Release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size--
}

// Fill adds an item in the place that was reserved for it.
func (q *Queue[T]) Fill(key string, item T) {
	q.mu.Lock()
	q.push(key, item)
	q.mu.Unlock()
	q.Kick()
}

// Add adds items, whatever the limit. Items without a key have no order.
func (q *Queue[T]) Add(key string, items ...T) {
	q.mu.Lock()
	for _, item := range items {
		q.size++
		q.push(key, item)
	}
	q.mu.Unlock()
	q.Kick()
}

// push appends an item to its lane. The caller holds mu and has counted it.
func (q *Queue[T]) push(key string, item T) {
	l := q.lanes[key]
	if l == nil {
		l = &lane[T]{key: key}
		l.items = l.one[:0]
		if key != "" {
			q.lanes[key] = l
		}
		q.ready = append(q.ready, l)
	}
	l.items = append(l.items, item)
}

// Len is how many items there are, those in flight and places reserved included.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}

// Kick starts the attempts that are due. The owner calls it when Gate may have changed its mind.
func (q *Queue[T]) Kick() {
	if q.options.Contain.Do("schedule of a queue", q.schedule) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx.Err() == nil {
		q.wake(q.options.Backoff)
	}
}

// schedule starts every attempt that is due, and sets the timer for the next one.
func (q *Queue[T]) schedule() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx.Err() != nil {
		return
	}
	now := time.Now()
	for len(q.later) > 0 && !q.later[0].at.After(now) {
		q.ready = append(q.ready, heap.Pop(&q.later).(*lane[T]))
	}
	var next time.Time
	for q.inFlight < q.options.Parallel && q.first(now) != nil {
		if q.options.Gate != nil {
			if ok, again := q.options.Gate(now); !ok {
				next = again
				break
			}
		}
		q.start(q.load(now))
	}
	if len(q.later) > 0 && (next.IsZero() || q.later[0].at.Before(next)) && !q.closing {
		next = q.later[0].at
	}
	if !next.IsZero() {
		q.wake(next.Sub(now))
	}
}

// first returns the first lane that is ready; nil if there is none. It sends those away that have to rest. The caller
// holds mu.
func (q *Queue[T]) first(now time.Time) *lane[T] {
	for len(q.ready) > 0 {
		l := q.ready[0]
		if q.options.Rest == nil {
			return l
		}
		until := q.options.Rest(l.items[0], now)
		if until.IsZero() {
			return l
		}
		q.shift()
		q.delay(l, until)
	}
	return nil
}

func (q *Queue[T]) shift() {
	q.ready[0] = nil
	q.ready = q.ready[1:]
}

func (q *Queue[T]) delay(l *lane[T], until time.Time) {
	l.at = until
	heap.Push(&q.later, l)
}

// wake sets the timer. The caller holds mu.
func (q *Queue[T]) wake(after time.Duration) {
	if q.timer == nil {
		q.timer = q.options.Contain.After(after, "timer of a queue", q.Kick, q.Kick)
	} else {
		q.timer.Reset(after)
	}
}

// RetryNow makes everything ready that waits for its next attempt.
func (q *Queue[T]) RetryNow() {
	q.mu.Lock()
	for len(q.later) > 0 {
		q.ready = append(q.ready, heap.Pop(&q.later).(*lane[T]))
	}
	q.mu.Unlock()
	q.Kick()
}

// Remove takes the items that match out of the queue and returns them, lane by lane. Those of lanes in flight stay.
func (q *Queue[T]) Remove(match func(item T) bool) (removed []T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	thin := func(lanes []*lane[T]) []*lane[T] {
		return slices.DeleteFunc(lanes, func(l *lane[T]) bool {
			l.items = slices.DeleteFunc(l.items, func(item T) bool {
				if !match(item) {
					return false
				}
				removed = append(removed, item)
				return true
			})
			if len(l.items) == 0 {
				delete(q.lanes, l.key)
			}
			return len(l.items) == 0
		})
	}
	q.ready = thin(q.ready)
	q.later = thin(q.later)
	heap.Init(&q.later)
	q.size -= len(removed)
	return removed
}

// Finish lets what is ready be attempted, and returns when nothing of that is left or in flight, but no later than ctx is
// done. From now on nothing waits for a later attempt. Due, unless it is nil, reports whether what is ready is worth
// waiting for.
func (q *Queue[T]) Finish(ctx context.Context, due func() bool) {
	stop := q.options.Contain.Upon(ctx, "end of a queue", q.wakeFinish, q.wakeFinish)
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	for ctx.Err() == nil && (q.inFlight > 0 || len(q.ready) > 0 && (due == nil || due())) {
		q.idle.Wait()
	}
}

// wakeFinish has Finish look again.
func (q *Queue[T]) wakeFinish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle.Broadcast()
}

// Stop stops the timer and waits for the attempts. The context of New must be done.
func (q *Queue[T]) Stop() {
	q.mu.Lock()
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	q.work.Wait()
}

// byTime is a heap of lanes by the time of their next attempt.
type byTime[T any] []*lane[T]

func (h byTime[T]) Len() int           { return len(h) }
func (h byTime[T]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h byTime[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

func (h *byTime[T]) Push(x any) { *h = append(*h, x.(*lane[T])) }

func (h *byTime[T]) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
