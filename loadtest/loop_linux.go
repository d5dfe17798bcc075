package loadtest

import (
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/internal/epoll"
)

// eventCount is how many connections are announced at once.
const eventCount = 1024

// epollLoop is a loop of one thread and one epoll instance, over plain TCP sockets without blocking.
type epollLoop struct {
	loopConfig
	set    epoll.Set
	wake   int           // an eventfd of the set
	done   chan struct{} // closed when the thread has left
	quit   atomic.Bool
	posted inbox

	// Owned by the loop.
	socks   []*epollSocket // by slot
	turn    int            // connections that were begun
	free    []int32
	buf     []byte
	events  []epoll.Event
	backlog []func()
}

// newLoop starts a loop. Its goroutine ends by stop, which waits for it.
func newLoop(cfg loopConfig) (loop, error) {
	if cfg.dial != nil {
		return newGoroutineLoop(cfg), nil
	}
	set, err := epoll.New()
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = set.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &epollLoop{
		loopConfig: cfg, set: set, wake: wake, done: make(chan struct{}),
		buf: make([]byte, readBuffer), events: make([]epoll.Event, eventCount),
	}
	if err := set.Add(wake, epoll.Event{Events: epoll.Read, Fd: -1}); err != nil {
		_ = set.Close()
		discard(wake)
		return nil, err
	}
	go l.run()
	return l, nil
}

func (l *epollLoop) post(f func()) {
	if l.posted.add(f) {
		l.kick()
	}
}

func (l *epollLoop) kick() {
	one := [8]byte{1}
	_, _ = unix.Write(l.wake, one[:]) // full means that it is awake anyway
}

func (l *epollLoop) stop() {
	if l.quit.CompareAndSwap(false, true) {
		l.posted.close()
		l.kick()
	}
	<-l.done
}

// run is the loop's thread. It keeps its thread to itself so that its timers and its place in the scheduler are its own,
// and lets the thread end with it.
func (l *epollLoop) run() {
	defer close(l.done)
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // best effort: wakes up to 50 µs later without
	if l.slice > 0 {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Runtime: uint64(l.slice)}
		_ = unix.SchedSetAttr(0, &attr, 0) // best effort: Linux 6.12 and later take a wish
	}
	next := int64(0)
	for !l.quit.Load() {
		n := l.wait(next)
		began := l.clock.now()
		for i := range l.events[:n] {
			l.event(&l.events[i])
		}
		l.runPosted()
		next = never
		if l.tick != nil {
			next = l.tick(l.clock.now())
		}
		if l.busy != nil && n > 0 {
			l.busy(time.Duration(l.clock.now() - began))
		}
		if l.nap > 0 && n < len(l.events) {
			ts := unix.NsecToTimespec(int64(l.nap))
			_ = unix.Nanosleep(&ts, nil) // a shorter nap does no harm
		}
	}
	for _, s := range l.socks {
		if s != nil {
			s.close()
		}
	}
	_ = l.set.Close() // nothing waits any more
	discard(l.wake)
}

// discard closes a descriptor that nothing depends on any more: there is nobody to tell of an error.
func discard(fd int) { _ = unix.Close(fd) }

// wait blocks until a connection is ready, something was posted, or the time has come.
func (l *epollLoop) wait(next int64) int {
	var ts *unix.Timespec
	if next != never {
		t := unix.NsecToTimespec(max(next-l.clock.now(), 0))
		ts = &t
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.set.FD()), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(ts)), 0, 0)
	if errno == unix.ENOSYS { // before Linux 5.11: milliseconds
		ms := -1
		if ts != nil {
			ms = int((ts.Nano() + 999_999) / 1_000_000)
		}
		m, _ := unix.EpollWait(l.set.FD(), l.events, ms)
		return max(m, 0)
	}
	if errno != 0 {
		return 0 // interrupted
	}
	return int(n)
}

func (l *epollLoop) runPosted() {
	l.backlog = l.posted.take(l.backlog)
	for i, f := range l.backlog {
		f()
		l.backlog[i] = nil
	}
}

// event handles what epoll says about one socket. Pad holds the socket's generation: a slot that was
// freed and taken again within one round must not get its predecessor's events.
func (l *epollLoop) event(ev *epoll.Event) {
	if ev.Fd < 0 {
		var b [8]byte
		_, _ = unix.Read(l.wake, b[:]) // only resets it
		return
	}
	s := l.socks[ev.Fd]
	if s == nil || s.generation != ev.Pad {
		return
	}
	if !s.connected {
		s.finishConnect()
		return
	}
	if ev.Events&unix.EPOLLOUT != 0 && len(s.out) > 0 {
		s.flush()
	}
	if s.fd >= 0 && ev.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLRDHUP) != 0 {
		if s.paused {
			if ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
				s.fail(io.EOF)
			}
			return
		}
		s.read()
	}
}

var generation atomic.Int32

// next is where the next connection goes.
func (l *epollLoop) next() netip.AddrPort {
	to := l.targets[l.turn%len(l.targets)]
	l.turn++
	return to
}

func (l *epollLoop) dial(h handler, source netip.Addr) socket {
	s := &epollSocket{l: l, h: h, fd: -1, slot: int32(len(l.socks)), generation: generation.Add(1)}
	if n := len(l.free); n > 0 {
		s.slot, l.free = l.free[n-1], l.free[:n-1]
		l.socks[s.slot] = s
	} else {
		l.socks = append(l.socks, s)
	}
	if err := s.connect(source); err != nil {
		l.post(func() { s.fail(err) }) // never from within dial
	}
	return s
}
