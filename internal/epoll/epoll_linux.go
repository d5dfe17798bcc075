package epoll

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Event is what a set reports of a descriptor: what it is ready for, and the two numbers that it was added with.
type Event = unix.EpollEvent

// What a descriptor may be watched for.
const (
	Read  = unix.EPOLLIN | unix.EPOLLRDHUP // there is something to read, or the peer has ended
	Write = unix.EPOLLOUT                  // there is room to write
	Once  = unix.EPOLLONESHOT              // reported once, until Rearm
	Ended = unix.EPOLLERR | unix.EPOLLHUP  // reported of whatever is watched: it has failed, or both sides have ended
	Edge  = unix.EPOLLET                   // reported when it becomes so, and not for as long as it is
)

// Set is an epoll set.
type Set struct{ fd int }

// New makes a set.
func New() (Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return Set{}, fmt.Errorf("epoll_create: %w", err)
	}
	return Set{fd}, nil
}

// FD is the descriptor of the set.
func (s Set) FD() int { return s.fd }

// Add puts a descriptor into the set. Its events come with Fd and Pad.
func (s Set) Add(fd int, e Event) error { return s.control(unix.EPOLL_CTL_ADD, fd, e) }

// Rearm watches a descriptor of the set that was to be reported once.
func (s Set) Rearm(fd int, e Event) error { return s.control(unix.EPOLL_CTL_MOD, fd, e) }

// Remove takes a descriptor out of the set. Closing it does so too.
func (s Set) Remove(fd int) error { return s.control(unix.EPOLL_CTL_DEL, fd, Event{}) }

func (s Set) control(op, fd int, e Event) error {
	if err := unix.EpollCtl(s.fd, op, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Close closes the set, which no goroutine may wait for. A Waiter has another Close.
func (s Set) Close() error { return unix.Close(s.fd) }

// Waiter is a set for which a goroutine waits.
type Waiter struct {
	// Set once by NewWaiter.
	Set
	file *os.File // owns the descriptor
	rc   syscall.RawConn
	look func(uintptr) bool // poll

	// Rest is called by Wait when nothing is ready, before it parks; nil: nothing is. Set before the first Wait.
	Rest func()

	// Owned by the goroutine that waits.
	events []Event
	ready  int // of events

	woken atomic.Bool // Wake was called, and no Wait has returned since
}

// NewWaiter makes a set that reports at most so many descriptors at once.
func NewWaiter(name string, most int) (*Waiter, error) {
	s, err := New()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(s.fd, true); err != nil { // or os.NewFile would not use the runtime's poller
		_ = s.Close()
		return nil, fmt.Errorf("make %s wait without a thread: %w", name, err)
	}
	w := &Waiter{Set: s, file: os.NewFile(uintptr(s.fd), name), events: make([]Event, most)}
	w.look = w.poll
	if w.rc, err = w.file.SyscallConn(); err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // which is how it is woken
	}
	if err != nil {
		_ = w.file.Close()
		return nil, fmt.Errorf("make %s wait without a thread: %w", name, err)
	}
	return w, nil
}

// Wait waits until descriptors are ready or Wake is called, and returns what is ready. It is valid until the next Wait.
// Errors: the set is closed.
func (w *Waiter) Wait() ([]Event, error) {
	w.ready = 0
	err := w.rc.Read(w.look)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = w.file.SetReadDeadline(time.Time{})
		w.woken.Store(false) // from here on a Wake ends the next Wait
	}
	return w.events[:w.ready], err
}

// poll looks what is ready. An error is an empty set: the next Wait has it.
func (w *Waiter) poll(uintptr) bool {
	n, _ := unix.EpollWait(w.fd, w.events, 0)
	w.ready = max(n, 0)
	if n <= 0 && w.Rest != nil {
		w.Rest()
	}
	return n > 0
}

// past is a deadline that ends a wait at once.
var past = time.Unix(1, 0)

// Wake ends the wait that is under way, or the next one. It may be called from any goroutine.
func (w *Waiter) Wake() {
	if !w.woken.Swap(true) {
		_ = w.file.SetReadDeadline(past) // fails for one that is closed, whose Wait has ended
	}
}

// Close closes the set, and ends Wait.
func (w *Waiter) Close() error { return w.file.Close() }
