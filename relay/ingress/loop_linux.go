package ingress

import (
	"bufio"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"weir/internal/epoll"
	"weir/relay/httpcheck"
	"weir/relay/stats"
)

// eventLoop is where connections wait: one epoll set. Its goroutine alone reads, answers, closes and passes on its connections; what may take time, others do for it, who then ring.
type eventLoop struct {
	// Set once.
	handoff *Handoff
	most    int // may be owed
	set     *epoll.Waiter
	rests   *stats.LoopWait

	// Owned by run.
	publishHandler
	upgrader
	waiter   ackWaiter
	buf      []byte
	ready    []epoll.Event // valid until the next wait
	resolved []pendingAck
	loaded   []load
	flushing []*Conn        // of whose answers some have been settled
	parked   []*Conn        // whose requests come when there is room
	helpers  sync.WaitGroup // the ack waiter, and loads

	// Guarded by mu.
	mu     sync.Mutex
	conns  []*Conn // by descriptor
	closed bool

	// Atomic.
	ending atomic.Bool
}

// maxEvents is the most connections that an event loop hears of at once.
const maxEvents = 64

func newEventLoop(in *Gate, l *Handoff) (*eventLoop, error) {
	set, err := epoll.NewWaiter("event loop", maxEvents)
	if err != nil {
		return nil, fmt.Errorf("open event loop: %w", err)
	}
	k := &eventLoop{handoff: l, most: in.MaxPending, set: set, buf: make([]byte, maxFast)}
	k.gate, k.room = in, k.most
	k.durable = k.admit
	k.request.routes = in.Fast
	k.rests = in.hub.Waits.Loop()
	set.Rest = k.rests.Rest
	k.upgrader.in = bufio.NewReaderSize(&k.upgrader.source, httpcheck.MaxHeaderBytes)
	k.waiter.wake, k.waiter.bell, k.waiter.closed, k.waiter.contain = set.Wake, make(chan struct{}, 1), make(chan struct{}), in.hub.Contain
	return k, nil
}

// add takes a connection in. It returns false if it cannot.
func (k *eventLoop) add(g *Conn) bool {
	if g.stream != nil {
		return false
	}
	fd := g.fd
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	if fd >= len(k.conns) {
		k.conns = append(k.conns, make([]*Conn, fd+1-len(k.conns))...)
	}
	k.conns[fd] = g
	g.loop = loopState{fd: fd}
	g.state = &g.loop
	g.atLoop.Store(true)
	if err := k.watch(fd); err != nil {
		k.conns[fd] = nil
		g.state = nil
		g.atLoop.Store(false)
		return false
	}
	return true
}

// watch puts a descriptor into the set.
func (k *eventLoop) watch(fd int) error {
	return k.set.Add(fd, epoll.Event{Events: epoll.Read, Fd: int32(fd)})
}

// forget takes a connection out before it goes elsewhere or is closed.
func (k *eventLoop) forget(g *Conn) {
	k.mu.Lock()
	if k.conns[g.state.fd] == g {
		k.conns[g.state.fd] = nil
	}
	k.mu.Unlock()
	g.atLoop.Store(false)
}

// start starts run, which done counts.
func (k *eventLoop) start(done *sync.WaitGroup) {
	hook := k.gate.hub.Contain
	if k.gate.hub.Keeps() {
		hook.Loop(&k.helpers, "ack waiter", k.ending.Load, k.waiter.run, k.waiter.abandon) // ended and waited for by run
	}
	hook.Loop(done, "event loop", k.ending.Load, k.run, k.abandon) // ended by stop
}

// run serves until it is ended. Then it answers what has come, and waits for what is owed: for as long as the disk
// takes, as closing the journal would.
func (k *eventLoop) run() {
	for !k.ending.Load() {
		k.wait()
		k.serveReady()
		k.submit()
		k.drain()
		runtime.Gosched() // what was published is to be written, too
	}
	k.end()
	for k.room < k.most || k.loads > 0 {
		k.wait() // nobody is heard any more
		k.drain()
	}
	k.waiter.once.Do(func() { close(k.waiter.closed) })
	k.helpers.Wait()
}

// abandon is the end of an event loop that does nothing but panic: its connections are closed, whatever they are owed.
func (k *eventLoop) abandon() {
	k.mu.Lock()
	k.closed = true
	left := slices.Clone(k.conns)
	k.mu.Unlock()
	for _, g := range left {
		if g != nil {
			k.leave(g)
		}
	}
	k.waiter.once.Do(func() { close(k.waiter.closed) })
	k.helpers.Wait()
}

// wait waits until connections have something to say, or somebody has rung.
func (k *eventLoop) wait() {
	k.ready, _ = k.set.Wait() // it is closed after run has ended
	k.rests.Work(k.refreshDate())
}

// stop ends run.
func (k *eventLoop) stop() {
	k.ending.Store(true)
	k.set.Wake()
}

// end has nobody come any more, reads what has come, and lets go of all who are owed nothing.
func (k *eventLoop) end() {
	k.mu.Lock()
	k.closed = true
	left := slices.Clone(k.conns)
	k.mu.Unlock()
	for _, g := range left {
		if g == nil {
			continue
		}
		k.onReadable(g)
		if g.atLoop.Load() {
			k.last(g)
		}
	}
	k.submit()
}

// serveReady gives those who have something to say their turns.
func (k *eventLoop) serveReady() {
	var present [maxEvents]*Conn
	k.mu.Lock()
	for i, e := range k.ready {
		present[i] = k.conns[e.Fd]
	}
	k.mu.Unlock()
	for _, g := range present[:len(k.ready)] {
		if g != nil {
			k.onReadable(g)
		}
	}
}
