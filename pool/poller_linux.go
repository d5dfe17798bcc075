package pool

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// poller tells owners when their connections have something to read, so that an idle connection needs no
// goroutine. It is one epoll set, one shot per Await, whose own descriptor waits in the runtime's poller:
// the goroutine that serves it parks like any other.
type poller struct {
	// Set once.
	fd   int
	file *os.File
	rc   syscall.RawConn

	mu    sync.Mutex
	conns []*Conn // by descriptor; guarded by mu
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create poller: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or os.NewFile would not use the runtime's poller
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("create poller: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "poller")}
	if p.rc, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("create poller: %w", err)
	}
	return p, nil
}

// run tells owners until close is called.
func (p *poller) run() {
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		err := p.rc.Read(func(uintptr) bool {
			n, _ = syscall.EpollWait(p.fd, events, 0) // an error is an empty set: the next wait tells
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			p.mu.Lock()
			var c *Conn
			if int(e.Fd) < len(p.conns) {
				c = p.conns[e.Fd]
			}
			p.mu.Unlock()
			if c != nil { // a connection that has taken over the number looks once in vain
				c.ready()
			}
		}
	}
}

// close ends run. No connection is watched any more.
func (p *poller) close() { _ = p.file.Close() }

// watch arms the set for one event of c. The caller holds c.mu, so that the descriptor is c's.
func (p *poller) watch(c *Conn) error {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | epollOneShot, Fd: int32(c.fd)}
	if c.watched {
		return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, c.fd, &e)
	}
	c.watched = true
	p.mu.Lock()
	if c.fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, c.fd+1-len(p.conns))...)
	}
	p.conns[c.fd] = c
	p.mu.Unlock()
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, c.fd, &e)
}

// forget takes c out before its descriptor is closed, which takes it out of the set. The caller holds c.mu.
func (p *poller) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c.fd] == c {
		p.conns[c.fd] = nil
	}
}

// epollOneShot is EPOLLONESHOT, which the syscall package has as a negative number on some systems.
const epollOneShot = 1 << 30

// TryRead reads what has arrived, without waiting. Errors: EAGAIN if nothing has, io.EOF at the end, those
// of a connection that has failed or was closed. Only for connections that are awaitable.
func (c *Conn) TryRead(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	// Inside RawConn the descriptor can not be closed, and its number not be given to another connection.
	cerr := c.rc.Read(func(fd uintptr) bool {
		for {
			r, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_DONTWAIT, 0, 0)
			switch {
			case errno == syscall.EINTR:
				continue
			case errno != 0:
				err = errno
			case r == 0:
				err = io.EOF
			default:
				n = int(r)
			}
			return true
		}
	})
	if cerr != nil {
		err = cerr
	}
	return n, err
}
