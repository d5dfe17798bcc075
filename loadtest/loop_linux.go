package loadtest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	headBuffer = 4 << 10 // what is read to find the next head when payloads are thrown away
	eventCount = 1024
)

// epollLoop is a loop of one thread and one epoll instance, over plain TCP sockets without blocking.
type epollLoop struct {
	loopConfig
	epoll, wake int
	done        chan struct{} // closed when the thread has left
	quit        atomic.Bool
	posted      inbox

	// Owned by the loop.
	socks   []*epollSocket // by slot
	free    []int32
	buf     []byte
	events  []unix.EpollEvent
	backlog []func()
}

// newLoop starts a loop. Its goroutine ends by stop, which waits for it.
func newLoop(cfg loopConfig) (loop, error) {
	if cfg.dial != nil {
		return newGoroutineLoop(cfg), nil
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &epollLoop{
		loopConfig: cfg, epoll: epoll, wake: wake, done: make(chan struct{}),
		buf: make([]byte, readBuffer), events: make([]unix.EpollEvent, eventCount),
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &ev); err != nil {
		unix.Close(epoll)
		unix.Close(wake)
		return nil, fmt.Errorf("epoll_ctl: %w", err)
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
	unix.Close(l.epoll)
	unix.Close(l.wake)
}

// wait blocks until a connection is ready, something was posted, or the time has come.
func (l *epollLoop) wait(next int64) int {
	var ts *unix.Timespec
	if next != never {
		t := unix.NsecToTimespec(max(next-l.clock.now(), 0))
		ts = &t
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(ts)), 0, 0)
	if errno == unix.ENOSYS { // before Linux 5.11: milliseconds
		ms := -1
		if ts != nil {
			ms = int((ts.Nano() + 999_999) / 1_000_000)
		}
		m, _ := unix.EpollWait(l.epoll, l.events, ms)
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
func (l *epollLoop) event(ev *unix.EpollEvent) {
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

// epollSocket is a socket of an epollLoop, which owns all of it.
type epollSocket struct {
	l          *epollLoop
	h          handler
	fd         int // -1 when closed
	slot       int32
	generation int32
	connected  bool
	closed     bool
	paused     bool
	out        []byte // what the kernel did not take yet
}

func (s *epollSocket) connect(source netip.Addr) error {
	to := s.l.target
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	s.fd = fd
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // only slower without
	if source.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // fewer ports without
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			return fmt.Errorf("bind %v: %w", source, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect %v: %w", to, err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: s.slot, Pad: s.generation}
	if err := unix.EpollCtl(s.l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func (s *epollSocket) finishConnect() {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err != nil {
		s.fail(fmt.Errorf("connect %v: %w", s.l.target, err))
		return
	}
	s.connected = true
	s.h.opened()
}

// read takes everything there is: the socket is only announced again when more arrives. What the
// handler does not want to see never leaves the kernel: MSG_TRUNC throws it away there.
func (s *epollSocket) read() {
	for s.fd >= 0 && !s.paused {
		skip := s.h.skips()
		size, truncate := readBuffer, 0
		switch {
		case skip >= headBuffer/2:
			size, truncate = skip, unix.MSG_TRUNC
		case skip > 0:
			size = headBuffer
		}
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&s.l.buf[0])),
			uintptr(size), uintptr(unix.MSG_DONTWAIT|truncate), 0, 0)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
			continue
		case errno != 0:
			s.fail(errno)
			return
		case n == 0:
			s.fail(io.EOF)
			return
		case truncate != 0:
			s.h.discarded(int(n))
		default:
			if err := s.h.received(s.l.buf[:n]); err != nil {
				s.fail(err)
				return
			}
		}
		if int(n) < size {
			return
		}
	}
}

func (s *epollSocket) send(b []byte) {
	if s.fd < 0 {
		return
	}
	if len(s.out) == 0 && s.connected {
		n := s.write(b)
		b = b[n:]
	}
	s.out = append(s.out, b...)
}

// write gives the kernel what it takes and says how much that was. Errors show on the next read.
func (s *epollSocket) write(b []byte) (written int) {
	for written < len(b) {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&b[written])),
			uintptr(len(b)-written), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			break
		}
		written += int(n)
	}
	return written
}

func (s *epollSocket) flush() {
	n := s.write(s.out)
	s.out = s.out[:copy(s.out, s.out[n:])]
	if len(s.out) == 0 {
		s.h.drained()
	}
}

func (s *epollSocket) waiting() int { return len(s.out) }
func (s *epollSocket) pause()       { s.paused = true }

// close resets the connection, which leaves no port waiting behind.
func (s *epollSocket) close() {
	if s.closed {
		return
	}
	s.closed = true
	if s.fd >= 0 {
		_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // a port waits a minute without
		unix.Close(s.fd)
	}
	s.fd = -1
	s.out = nil
	s.l.socks[s.slot] = nil
	s.l.free = append(s.l.free, s.slot)
}

func (s *epollSocket) fail(err error) {
	if s.closed {
		return
	}
	s.close()
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		err = errReset
	}
	s.h.ended(err)
}
