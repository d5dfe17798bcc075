package relay

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// desk is where connections wait: one epoll set, whose own descriptor waits in the runtime's poller. Its goroutine
// alone reads, answers, closes and passes on its guests; what may take time, others do for it, who then ring.
type desk struct {
	// Set once.
	lane *lane
	most int // may be owed
	fd   int
	file *os.File
	rc   syscall.RawConn
	look func(uintptr) bool // poll

	// Owned by run.
	teller
	clerk   clerk
	buf     []byte
	events  []syscall.EpollEvent
	found   int // of events
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
	rung   atomic.Bool // run is being woken
	ending atomic.Bool
}

// maxEvents is the most guests that a desk hears of at once.
const maxEvents = 64

func newDesk(r *Relay, l *lane) (*desk, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open desk: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os.NewFile would not use the runtime's poller
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("open desk: %w", err)
	}
	k := &desk{lane: l, most: maxPledges, fd: fd, file: os.NewFile(uintptr(fd), "desk"), buf: make([]byte, maxPlain), events: make([]syscall.EpollEvent, maxEvents)}
	k.relay, k.room = r, k.most
	k.durable, k.look = k.admit, k.poll
	k.clerk.ring, k.clerk.bell, k.clerk.closed, k.clerk.contain = k.ring, make(chan struct{}, 1), make(chan struct{}), r.contain
	if k.rc, err = k.file.SyscallConn(); err == nil {
		err = k.file.SetReadDeadline(time.Time{}) // which is how it is rung
	}
	if err != nil {
		_ = k.file.Close()
		return nil, fmt.Errorf("open desk: %w", err)
	}
	return k, nil
}

// enter takes a guest in. It answers false if it cannot.
func (k *desk) enter(g *guest) bool {
	rc, err := g.SyscallConn()
	if err != nil {
		return false
	}
	fd := -1
	if err := rc.Control(func(n uintptr) { fd = int(n) }); err != nil {
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
	if err := k.control(syscall.EPOLL_CTL_ADD, fd); err != nil {
		k.guests[fd] = nil
		g.seat = nil
		g.seated.Store(false)
		return false
	}
	return true
}

// control puts a descriptor into the set, or takes it out.
func (k *desk) control(op, fd int) error {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(fd)}
	return syscall.EpollCtl(k.fd, op, fd, &e)
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
	hook := k.relay.contain
	if k.relay.disk != nil {
		hook.Loop(&k.helpers, "clerk", k.clerk.run) // ended and waited for by run
	}
	hook.Loop(done, "desk", k.run) // ended by stop
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

// wait waits until guests have something to say, or somebody has rung.
func (k *desk) wait() {
	k.found = 0
	if err := k.rc.Read(k.look); err != nil { // it was rung
		_ = k.file.SetReadDeadline(time.Time{})
		k.rung.Store(false)
	}
	k.today()
}

// poll looks who has something to say. An error is an empty set: the next wait tells.
func (k *desk) poll(uintptr) bool {
	k.found, _ = syscall.EpollWait(k.fd, k.events, 0)
	return k.found > 0
}

// past is a deadline that ends a wait at once.
var past = time.Unix(1, 0)

// ring wakes run, which looks at what there is then. It may be called from any goroutine.
func (k *desk) ring() {
	if !k.rung.Swap(true) {
		_ = k.file.SetReadDeadline(past)
	}
}

// stop ends run.
func (k *desk) stop() {
	k.ending.Store(true)
	k.ring()
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
	if k.found <= 0 {
		return
	}
	var present [maxEvents]*guest
	k.mu.Lock()
	for i, e := range k.events[:k.found] {
		present[i] = k.guests[e.Fd]
	}
	k.mu.Unlock()
	for _, g := range present[:k.found] {
		if g != nil {
			k.turn(g)
		}
	}
}
