package notify

import (
	"container/heap"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"weir/internal/contain"
	"weir/relay/config"
	"weir/relay/problem"
)

// delivery is a notification on its way to the devices of its user.
type delivery struct {
	// Set once.
	user  string
	n     *notification
	since time.Time
	kept  chan struct{} // closed when it is known whether the inbox has it

	// Set before kept is closed.
	err error // why the inbox does not have it

	// Guarded by the queue's mu; nobody's but done's once nothing is left.
	devices   int
	left      int // that were neither reached nor given up
	delivered int
	pruned    int // of those that were not reached
}

func (d *delivery) key() string { return d.user + "\x00" + d.n.ID }

// attempt is a device that is to be told. Without a device there is none to tell.
type attempt struct {
	delivery *delivery
	device   *device

	// Guarded by the queue's mu.
	tries int
	at    time.Time // of the next
}

// queue is what is on its way to devices.
type queue struct {
	// Set once by newQueue.
	config  config.Notify
	senders map[string]sender
	run     func(work func()) bool            // on a pool that has room for all that is in flight; false: it is closed
	forget  func(user string, d *device) bool // a device that is no more; false: it is again
	done    func(d *delivery)                 // everything about it is known
	log     *slog.Logger
	counted *counters
	contain contain.Hook
	alarms  alarms
	ctx     context.Context // of attempts; ended by stop

	// Guarded by mu, which is not held while anything is sent, published or logged.
	mu       sync.Mutex
	underway map[string]*delivery // by user and id
	ready    []*attempt           // in order of when they became so
	later    attempts             // that wait for their next try
	inFlight int
	hosts    hosts
	closing  bool
	timer    *time.Timer // for what comes next; stopped by stop
	idle     *sync.Cond  // something has come back; its lock is mu

	work sync.WaitGroup // attempts; stop waits
}

func newQueue(ctx context.Context, c config.Notify, log *slog.Logger, hook contain.Hook) *queue {
	q := &queue{config: c, contain: hook, log: log, ctx: ctx, underway: make(map[string]*delivery), hosts: make(hosts)}
	q.idle = sync.NewCond(&q.mu)
	return q
}

var errFull = problem.New(http.StatusServiceUnavailable, "overloaded", "too many notifications are on their way", true)

// settled says what has become of a notification: whoever has sent it again is told the same.
func (d *delivery) settled(err error) {
	d.err = err
	close(d.kept)
}

// reserve takes a place for a notification, whose settled is to be called. If one of the same user and id is on its way
// already, it returns that as the earlier one.
func (q *queue) reserve(user string, n *notification, since time.Time) (d, earlier *delivery, err error) {
	d = &delivery{user: user, n: n, since: since, kept: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch earlier := q.underway[d.key()]; {
	case earlier != nil:
		return nil, earlier, nil
	case len(q.underway) >= q.config.Queue, q.closing:
		return nil, nil, errFull
	}
	q.underway[d.key()] = d
	return d, nil, nil
}

// release gives a place back.
func (q *queue) release(d *delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.underway, d.key())
}

// start tells devices.
func (q *queue) start(d *delivery, devices []*device) {
	q.mu.Lock()
	d.devices, d.left = len(devices), len(devices)
	for _, x := range devices {
		q.ready = append(q.ready, &attempt{delivery: d, device: x})
	}
	if len(devices) == 0 {
		d.left = 1
		q.ready = append(q.ready, &attempt{delivery: d})
	}
	q.mu.Unlock()
	q.kick()
}

// schedule starts every attempt that is due, and sees to it that it is called again when the next one is.
func (q *queue) schedule() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx.Err() != nil {
		return
	}
	now := time.Now()
	for len(q.later) > 0 && !q.later[0].at.After(now) {
		q.ready = append(q.ready, heap.Pop(&q.later).(*attempt))
	}
	for len(q.ready) > 0 && q.inFlight < q.config.Parallel {
		a := q.ready[0]
		q.ready[0] = nil
		q.ready = q.ready[1:]
		if a.device != nil {
			if until := q.hosts.rests(a.device, now); !until.IsZero() {
				a.at = until // no try of its own: the host is not asked
				heap.Push(&q.later, a)
				continue
			}
		}
		q.inFlight++
		q.work.Add(1)
		if !q.run(func() { q.attempt(a) }) { // ended by its timeout or ctx; stop waits
			q.work.Done()
			q.inFlight--
			return
		}
	}
	if len(q.later) == 0 || q.closing {
		return
	}
	q.wake(q.later[0].at.Sub(now))
}

// kick is schedule, which is called again in a while after a panic: nobody else would.
func (q *queue) kick() {
	if q.contain.Do("schedule of notifications", q.schedule) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx.Err() == nil {
		q.wake(firstBackoff)
	}
}

// wake has kick called after a while. The caller holds mu.
func (q *queue) wake(after time.Duration) {
	if q.timer == nil {
		q.timer = q.contain.After(after, "timer of notifications", q.kick, q.kick)
	} else {
		q.timer.Reset(after)
	}
}

// finish lets what is due be sent, and waits for that, but not longer than until ctx is done.
func (q *queue) finish(ctx context.Context) {
	stop := q.contain.Upon(ctx, "end of notifications", q.rouse, q.rouse)
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	for ctx.Err() == nil && q.inFlight+len(q.ready) > 0 {
		q.idle.Wait()
	}
}

// rouse has finish look.
func (q *queue) rouse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle.Broadcast()
}

// stop ends the timer and waits for attempts, whose context has ended. It answers how many notifications are left
// on their way.
func (q *queue) stop() int {
	q.mu.Lock()
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	q.work.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.underway)
}

// waiting is how many notifications are on their way.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.underway)
}

// attempts is a heap of attempts by their time.
type attempts []*attempt

func (h attempts) Len() int           { return len(h) }
func (h attempts) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h attempts) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *attempts) Push(x any) { *h = append(*h, x.(*attempt)) }

// Pop implements heap.Interface.
func (h *attempts) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return a
}
