package loadtest

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"weir/internal/epoll"
	"weir/internal/rawsock"
)

// headBuffer is how much is read to find the next head when payloads are thrown away.
const headBuffer = 4 << 10

// epollSocket is a socket of an epollLoop, which owns all of it.
type epollSocket struct {
	l          *epollLoop
	h          handler
	to         netip.AddrPort
	fd         int // -1 when closed
	slot       int32
	generation int32
	connected  bool
	closed     bool
	paused     bool
	out        []byte // what the kernel did not take yet
}

func (s *epollSocket) connect(source netip.Addr) error {
	to := s.l.next()
	s.to = to
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
	return s.l.set.Add(fd, epoll.Event{Events: epoll.Read | epoll.Write | epoll.Edge, Fd: s.slot, Pad: s.generation})
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
		s.fail(fmt.Errorf("connect %v: %w", s.to, err))
		return
	}
	s.connected = true
	s.h.opened()
}

// read takes everything there is: the socket is only announced again when more arrives. What the
// handler does not want to see never leaves the kernel: MSG_TRUNC throws it away there.
func (s *epollSocket) read() {
	for s.fd >= 0 && !s.paused {
		size, skip := readBuffer, s.h.skips()
		var n int
		var err error
		if skip >= headBuffer/2 {
			size = skip
			n, err = rawsock.Skip(s.fd, size)
		} else {
			if skip > 0 {
				size = headBuffer
			}
			n, err = rawsock.Receive(s.fd, s.l.buf[:size])
		}
		switch {
		case err == unix.EAGAIN: //nolint:errorlint // an errno as it is, at every message
			return
		case err != nil:
			s.fail(err)
			return
		case skip >= headBuffer/2:
			s.h.discarded(n)
		default:
			if err := s.h.received(s.l.buf[:n]); err != nil {
				s.fail(err)
				return
			}
		}
		if n < size {
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
func (s *epollSocket) write(b []byte) int {
	n, _ := rawsock.Send(s.fd, b)
	return n
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
		discard(s.fd)
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
