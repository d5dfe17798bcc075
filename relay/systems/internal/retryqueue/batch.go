package retryqueue

import "time"

// Batch is what one attempt is made with. It belongs to the goroutine of the attempt.
type Batch[T any] struct {
	Parts []Part[T] // at least one

	queue   *Queue[T]
	settled int        // parts
	one     [1]Part[T] // memory of a batch with one part
}

// Part is the first items of one lane.
type Part[T any] struct {
	Items []T // at least one; valid until the part is settled
	Tries int // attempts at the first of them so far

	lane *lane[T]
}

// Result is what has come of a part.
type Result struct {
	Done  int       // so many of its first items leave the queue
	Alone bool      // its other items are attempted one at a time
	At    time.Time // of the next attempt at what is left of the lane; zero: as soon as there is room
}

// load takes a batch from the lanes that are ready. The caller holds mu, and knows that there is one.
func (q *Queue[T]) load(now time.Time) *Batch[T] {
	b := &Batch[T]{queue: q}
	b.Parts = b.one[:0]
	room, weight := max(q.options.Batch, 1), 0
	weigh := func(item T) int {
		if q.options.Weight == nil {
			return 0
		}
		return q.options.Weight(item)
	}
	for room > 0 {
		l := q.first(now)
		if l == nil || len(b.Parts) > 0 && (l.alone > 0 || weight+weigh(l.items[0]) > q.options.MaxWeight) {
			break
		}
		q.shift()
		if l.taken = 0; l.alone > 0 {
			room = 1
		}
		for _, item := range l.items {
			if room == 0 || l.taken > 0 && weight+weigh(item) > q.options.MaxWeight {
				break
			}
			weight += weigh(item)
			l.taken++
			room--
		}
		b.Parts = append(b.Parts, Part[T]{l.items[:l.taken:l.taken], l.tries, l})
	}
	return b
}

// start starts an attempt. The caller holds mu.
func (q *Queue[T]) start(b *Batch[T]) {
	q.inFlight++
	q.options.Contain.Go(&q.work, "attempt of a queue", func() { // ends soon after ctx; Stop waits
		q.options.Attempt(q.ctx, b)
		q.end(b)
	}, func() { q.end(b) })
}

// end ends an attempt.
func (q *Queue[T]) end(b *Batch[T]) {
	for b.settled < len(b.Parts) {
		b.Settle(Result{At: time.Now().Add(q.options.Backoff)})
	}
	q.mu.Lock()
	q.inFlight--
	q.idle.Broadcast()
	q.mu.Unlock()
	q.Kick()
}

// Settle takes what has come of the next part of the batch: they are settled in their order.
func (b *Batch[T]) Settle(r Result) {
	q, l := b.queue, b.Parts[b.settled].lane
	b.settled++
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Alone {
		l.alone = l.taken
	}
	clear(l.items[:r.Done])
	l.items = l.items[r.Done:]
	l.alone = max(l.alone-r.Done, 0)
	if l.tries++; r.Done > 0 {
		l.tries = 0
	}
	q.size -= r.Done
	switch {
	case len(l.items) == 0:
		delete(q.lanes, l.key)
	case r.At.IsZero():
		q.ready = append(q.ready, l)
	default:
		q.delay(l, r.At)
	}
}
