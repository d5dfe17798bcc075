package notify

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
	"weir/relay/problem"
	"weir/relay/systems/internal/retryqueue"
	"weir/relay/systems/notify/hosts"
)

// delivery is the delivery of a notification to the devices of its user.
type delivery struct {
	// Set once.
	user  string
	n     *notification
	since time.Time
	kept  chan struct{} // closed by settled

	// Set before kept is closed.
	err error // why the inbox does not have the notification; nil: it has

	// Atomic.
	lost atomic.Bool // another node has the user: it goes on

	// Guarded by the queue's mu, and owned by done once nothing is left.
	devices   int
	left      int // devices that were neither reached nor given up
	delivered int
	pruned    int      // of those that were not reached
	told      []string // devices of which it is noted that they need nothing more
	before    int      // of them, those of the node before
}

// The words for what has come of a device. They are stored.
const (
	wasReached = "reached"
	wasFailed  = "failed"
	wasPruned  = "pruned"
)

// tell counts a device that needs nothing more, as another node has noted; nobody else has the delivery yet.
func (d *delivery) tell(device, as string) {
	d.told = append(d.told, device)
	d.before++
	switch as {
	case wasReached:
		d.delivered++
	case wasPruned:
		d.pruned++
	}
}

func (d *delivery) key() string { return d.user + "\x00" + d.n.ID }

// settled sets whether the inbox has the notification. A sender of the same one meanwhile gets the same error.
func (d *delivery) settled(err error) {
	d.err = err
	close(d.kept)
}

// target is one device of a delivery; nil: the user has none.
type target struct {
	delivery *delivery
	device   *device
}

// queue holds the deliveries that are under way, and their targets.
type queue struct {
	// Set once.
	config     Config
	transports map[string]transport                                // by kind of device
	forget     func(user string, d *device) bool                   // removes a device that is gone; false: it was registered again
	done       func(d *delivery) bool                              // called when every device was reached or given up; false: another node goes on
	begin      func(d *delivery, again bool) (end func(), ok bool) // called before an attempt, which may be one again; end is called behind it; false: it is another node's. nil: there is one node
	reached    func(d *delivery, device, as string)                // notes that a device needs nothing more; nil as well
	unfinished func(d *delivery)                                   // has what is left of a delivery be found by who has the user; nil as well
	log        *slog.Logger
	counters   *counters
	contain    contain.Hook
	alarms     sync.Map // time.Time by alarm: when the log last named it
	targets    *retryqueue.Queue[target]

	// Guarded by mu, a leaf inside the lock of targets.
	mu       sync.Mutex
	underway map[string]*delivery // by user and id
	hosts    hosts.Hosts
	closing  bool
}

func newQueue(ctx context.Context, c Config, log *slog.Logger, hook contain.Hook) *queue {
	q := &queue{config: c, contain: hook, log: log, underway: make(map[string]*delivery), hosts: make(hosts.Hosts)}
	q.targets = retryqueue.New(ctx, retryqueue.Options[target]{
		Attempt: q.attempt, Parallel: c.Parallel, Backoff: firstBackoff, Rest: q.rest, Contain: hook,
	})
	return q
}

// rest is until when the host of a target's device is not asked.
func (q *queue) rest(t target, now time.Time) time.Time {
	if t.device == nil {
		return time.Time{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.hosts) == 0 {
		return time.Time{}
	}
	return q.hosts.Rests(t.device.hostKey(), now)
}

var errFull = problem.New(http.StatusServiceUnavailable, "overloaded", "limit reached: too many notifications are queued", true)

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
	if q.underway[d.key()] == d { // or it was lost, and has come back
		delete(q.underway, d.key())
	}
}

// noted returns the devices of which it is noted that they need nothing more.
func (q *queue) noted(d *delivery) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(d.told)
}

// lose gives up deliveries that another node goes on with. It waits for nobody.
func (q *queue) lose(of func(d *delivery) bool) {
	q.mu.Lock()
	for key, d := range q.underway {
		if of(d) {
			d.lost.Store(true)
			delete(q.underway, key)
		}
	}
	q.mu.Unlock()
	q.targets.Remove(func(t target) bool { return t.delivery.lost.Load() })
}

// start begins to send a delivery to devices.
func (q *queue) start(d *delivery, devices []*device) {
	var list []target
	for _, x := range devices {
		list = append(list, target{d, x})
	}
	if len(list) == 0 {
		list = []target{{delivery: d}}
	}
	d.devices, d.left = d.before+len(devices), len(list) // nobody else has it yet
	q.targets.Add("", list...)
}

// finish sends what is due, and returns when that is done or ctx is.
func (q *queue) finish(ctx context.Context) {
	q.mu.Lock()
	q.closing = true
	q.mu.Unlock()
	q.targets.Finish(ctx, nil)
}

// stop waits for the attempts, whose context is done. It returns how many notifications are left on their way.
func (q *queue) stop() int {
	q.targets.Stop()
	return q.waiting()
}

// waiting is how many notifications are on their way.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.underway)
}
