package relay

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"unsafe"
)

// front accepts connections and gives each a desk.
type front struct {
	// Set once.
	relay *Relay
	door  *door
	lane  *lane
	done  chan struct{} // closed when run has ended

	// Owned by run.
	desks []*desk // opened for the first socket: in memory, tests have none
	tried bool
	next  int // the desk of the next connection
}

func newFront(r *Relay, d *door) *front {
	return &front{relay: r, door: d, lane: newLane(d.Addr()), done: make(chan struct{})}
}

// run accepts until the door is closed. Then the desks are, with what has come answered, and their connections.
func (f *front) run() error {
	var serving sync.WaitGroup // the desks; ended and waited for below
	defer close(f.done)
	for {
		nc, err := f.door.Accept()
		if err != nil {
			for _, k := range f.desks {
				_ = k.file.Close()
			}
			serving.Wait()
			return err
		}
		g, ok := nc.(*guest)
		if ok && !f.tried {
			f.open(&serving)
		}
		if !ok || len(f.desks) == 0 || !f.desks[f.next].enter(g) {
			f.lane.put(nc)
			continue
		}
		f.next = (f.next + 1) % len(f.desks)
	}
}

// open opens as many desks as there are processors. Without any, all connections go to the HTTP server.
func (f *front) open(serving *sync.WaitGroup) {
	f.tried = true
	for range runtime.GOMAXPROCS(0) {
		k, err := newDesk(f.relay, f.lane)
		if err != nil {
			f.relay.log.Warn("desk not opened", slog.String("error", err.Error()))
			return
		}
		f.desks = append(f.desks, k)
		serving.Go(k.run)
	}
}

// wait returns when run has ended.
func (f *front) wait() { <-f.done }

// desk is where connections wait: one epoll set, whose own descriptor waits in the runtime's poller.
type desk struct {
	// Set once.
	lane *lane
	fd   int
	file *os.File
	rc   syscall.RawConn

	// Owned by run.
	teller
	buf []byte

	// Guarded by mu.
	mu     sync.Mutex
	guests []*guest // by descriptor
	closed bool
}

func newDesk(r *Relay, l *lane) (*desk, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open desk: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os.NewFile would not use the runtime's poller
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("open desk: %w", err)
	}
	k := &desk{lane: l, fd: fd, file: os.NewFile(uintptr(fd), "desk"), buf: make([]byte, maxPlain)}
	k.relay = r
	if k.rc, err = k.file.SyscallConn(); err != nil {
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
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(fd)}
	if err := syscall.EpollCtl(k.fd, syscall.EPOLL_CTL_ADD, fd, &e); err != nil {
		k.guests[fd] = nil
		g.seat = nil
		g.seated.Store(false)
		return false
	}
	return true
}

// forget takes a guest out before it goes elsewhere or is closed.
func (k *desk) forget(g *guest) {
	k.mu.Lock()
	k.guests[g.seat.fd] = nil
	k.mu.Unlock()
	g.seated.Store(false)
}

// run serves until the set is closed.
func (k *desk) run() {
	events := make([]syscall.EpollEvent, 64)
	present := make([]*guest, len(events))
	for {
		n := 0
		err := k.rc.Read(func(uintptr) bool {
			n, _ = syscall.EpollWait(k.fd, events, 0) // an error is an empty set: the next wait tells
			return n > 0
		})
		if err != nil {
			break
		}
		k.mu.Lock()
		for i, e := range events[:n] {
			present[i] = k.guests[e.Fd]
		}
		k.mu.Unlock()
		k.today()
		for i, g := range present[:n] {
			if g != nil {
				k.turn(g)
			}
			present[i] = nil
		}
		runtime.Gosched() // what was published is to be written, too
	}
	k.mu.Lock()
	k.closed = true
	left := slices.Clone(k.guests)
	k.mu.Unlock()
	k.today()
	for _, g := range left {
		if g == nil {
			continue
		}
		k.turn(g)
		if g.seated.Load() {
			k.leave(g)
		}
	}
}

// turn reads what has come from a guest, once, and answers it.
func (k *desk) turn(g *guest) {
	defer k.relay.caught(func() { k.leave(g) })
	b, err := k.receive(g)
	switch {
	case err == syscall.EAGAIN: //nolint:errorlint // it is the kernel's, as it comes
		return
	case err != nil:
		k.leave(g)
		return
	}
	k.out = k.out[:0]
	n, rest := k.take(g, b)
	if n > 0 {
		g.at(waiting)
	}
	unsent := 0
	if len(k.out) > 0 {
		sent, err := sendNow(g.seat.fd, k.out)
		if err != nil && err != syscall.EAGAIN { //nolint:errorlint // as above
			k.leave(g)
			return
		}
		unsent = len(k.out) - sent
	}
	if cap(k.out) > maxPlain {
		defer func() { k.out = nil }()
	}
	if rest == foreign || unsent > 0 {
		k.pass(g, k.out[len(k.out)-unsent:], b[n:])
		return
	}
	if n == len(b) {
		g.seat.held = nil
		return
	}
	g.seat.held = append(g.seat.held[:0], b[n:]...)
	if g.phase.Load()&(1<<phaseBits-1) == waiting {
		g.at(reading)
	}
}

// receive receives once. It answers all that has come of the guest's next request.
func (k *desk) receive(g *guest) ([]byte, error) {
	if len(g.seat.held) == 0 {
		n, err := receiveNow(g.seat.fd, k.buf)
		return k.buf[:n], err
	}
	have := len(g.seat.held)
	g.seat.held = slices.Grow(g.seat.held, min(max(have, 4<<10), maxPlain+maxHeaderBytes)) // no more than twice of what has come
	n, err := receiveNow(g.seat.fd, g.seat.held[have:cap(g.seat.held)])
	g.seat.held = g.seat.held[:have+n]
	return g.seat.held, err
}

// leave closes a guest.
func (k *desk) leave(g *guest) {
	k.forget(g)
	_ = g.Close()
}

// pass hands a guest over to the HTTP server, with what is still to be sent and what has been read of it.
func (k *desk) pass(g *guest, unsent, rest []byte) {
	e := syscall.EpollEvent{}
	_ = syscall.EpollCtl(k.fd, syscall.EPOLL_CTL_DEL, g.seat.fd, &e) // it is there
	k.forget(g)
	g.seat.unsent = slices.Clone(unsent)
	g.seat.rest = slices.Clone(rest)
	g.seat.held = nil
	k.relay.metrics.passed.Inc()
	k.lane.put(g)
}

// receiveNow reads what has arrived, without waiting. The raw form of the call can not block: telling the
// scheduler would cost more than the call.
func receiveNow(fd int, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

// sendNow writes what fits into the socket's buffer, without waiting.
func sendNow(fd int, b []byte) (done int, err error) {
	for done < len(b) {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[done])), uintptr(len(b)-done),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch {
		case errors.Is(errno, syscall.EINTR):
		case errno != 0:
			return done, errno
		default:
			done += int(n)
		}
	}
	return done, nil
}
