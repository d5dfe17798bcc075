package relay

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"weir/internal/epoll"
	"weir/internal/rawsock"
)

// desk is where connections wait: one epoll set. Its goroutine alone reads, answers, closes and passes on its guests; what may take time, others do for it, who then ring.
type desk struct {
	// Set once.
	lane *lane
	most int // may be owed
	set  *epoll.Waiter

	// Owned by run.
	teller
	clerk   clerk
	buf     []byte
	ready   []epoll.Event // valid until the next wait
	settled []pledge
	loaded  []load
	paying  []*guest       // of whose answers some have been settled
	parked  []*guest       // whose requests come when there is room
	helpers sync.WaitGroup // the clerk, and loads

	// Guarded by mu.
	mu     sync.Mutex
	guests []*guest // by descriptor
	closed bool

	// Atomic.
	ending atomic.Bool
}

// maxEvents is the most guests that a desk hears of at once.
const maxEvents = 64

func newDesk(in *Gate, l *lane) (*desk, error) {
	set, err := epoll.NewWaiter("desk", maxEvents)
	if err != nil {
		return nil, fmt.Errorf("open desk: %w", err)
	}
	k := &desk{lane: l, most: in.MaxPending, set: set, buf: make([]byte, maxPlain)}
	k.gate, k.room = in, k.most
	k.durable = k.admit
	k.clerk.ring, k.clerk.bell, k.clerk.closed, k.clerk.contain = set.Wake, make(chan struct{}, 1), make(chan struct{}), in.hub.Contain
	return k, nil
}

// enter takes a guest in. It answers false if it cannot.
func (k *desk) enter(g *guest) bool {
	fd, _, err := rawsock.Descriptor(g)
	if err != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	if fd >= len(k.guests) {
		k.guests = append(k.guests, make([]*guest, fd+1-len(k.guests))...)
	}
	k.guests[fd] = g
	g.seat = &seat{fd: fd}
	g.seated.Store(true)
	if err := k.watch(fd); err != nil {
		k.guests[fd] = nil
		g.seat = nil
		g.seated.Store(false)
		return false
	}
	return true
}

// watch puts a descriptor into the set.
func (k *desk) watch(fd int) error {
	return k.set.Add(fd, epoll.Event{Events: epoll.Read, Fd: int32(fd)})
}

// forget takes a guest out before it goes elsewhere or is closed.
func (k *desk) forget(g *guest) {
	k.mu.Lock()
	if k.guests[g.seat.fd] == g {
		k.guests[g.seat.fd] = nil
	}
	k.mu.Unlock()
	g.seated.Store(false)
}

// start starts run, which done counts.
func (k *desk) start(done *sync.WaitGroup) {
	hook := k.gate.hub.Contain
	if k.gate.hub.Disk != nil {
		hook.Loop(&k.helpers, "clerk", k.ending.Load, k.clerk.run, k.clerk.abandon) // ended and waited for by run
	}
	hook.Loop(done, "desk", k.ending.Load, k.run, k.abandon) // ended by stop
}

// run serves until it is ended. Then it answers what has come, and waits for what is owed: for as long as the disk
// takes, as closing the journal would.
func (k *desk) run() {
	for !k.ending.Load() {
		k.wait()
		k.turns()
		k.hand()
		k.collect()
		runtime.Gosched() // what was published is to be written, too
	}
	k.end()
	for k.room < k.most || k.loads > 0 {
		k.wait() // nobody is heard any more
		k.collect()
	}
	k.clerk.once.Do(func() { close(k.clerk.closed) })
	k.helpers.Wait()
}

// abandon is the end of a desk that does nothing but panic: its guests are closed, whatever they are owed.
func (k *desk) abandon() {
	k.mu.Lock()
	k.closed = true
	left := slices.Clone(k.guests)
	k.mu.Unlock()
	for _, g := range left {
		if g != nil {
			k.leave(g)
		}
	}
	k.clerk.once.Do(func() { close(k.clerk.closed) })
	k.helpers.Wait()
}

// wait waits until guests have something to say, or somebody has rung.
func (k *desk) wait() {
	k.ready, _ = k.set.Wait() // it is closed after run has ended
	k.today()
}

// stop ends run.
func (k *desk) stop() {
	k.ending.Store(true)
	k.set.Wake()
}

// end has nobody come any more, reads what has come, and lets go of all who are owed nothing.
func (k *desk) end() {
	k.mu.Lock()
	k.closed = true
	left := slices.Clone(k.guests)
	k.mu.Unlock()
	for _, g := range left {
		if g == nil {
			continue
		}
		k.turn(g)
		if g.seated.Load() {
			k.last(g)
		}
	}
	k.hand()
}

// turns gives those who have something to say their turns.
func (k *desk) turns() {
	var present [maxEvents]*guest
	k.mu.Lock()
	for i, e := range k.ready {
		present[i] = k.guests[e.Fd]
	}
	k.mu.Unlock()
	for _, g := range present[:len(k.ready)] {
		if g != nil {
			k.turn(g)
		}
	}
}
