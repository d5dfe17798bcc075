package rawsock

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supported reports whether the system has the calls.
const Supported = true

// Send writes as much of b as fits into the socket's buffer. A short count comes with EAGAIN or the error that ended the
// connection. MSG_NOSIGNAL keeps a peer that has closed from raising SIGPIPE.
func Send(fd int, b []byte) (done int, err error) {
	for done < len(b) {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(&b[done])), uintptr(len(b)-done),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			done += int(n)
		case syscall.EINTR:
		default:
			return done, errno
		}
	}
	return done, nil
}

// Receive reads what has arrived into b, which is not empty. Errors: EAGAIN if nothing has, io.EOF at the end, those of a
// connection that has failed.
func Receive(fd int, b []byte) (int, error) { return receive(fd, &b[0], len(b), 0) }

// Skip is Receive for up to size bytes that are thrown away: of a TCP socket they never leave the kernel. It is for
// these only, since others copy all the same.
func Skip(fd, size int) (int, error) {
	var none byte
	return receive(fd, &none, size, syscall.MSG_TRUNC)
}

func receive(fd int, b *byte, size, flags int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(b)), uintptr(size), uintptr(syscall.MSG_DONTWAIT|flags), 0, 0)
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

// Shutdown ends the sending side.
func Shutdown(fd int) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_SHUTDOWN, uintptr(fd), syscall.SHUT_WR, 0)
}

// End ends both sides: what waits for the descriptor is told, and it stays open.
func End(fd int) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_SHUTDOWN, uintptr(fd), syscall.SHUT_RDWR, 0)
}

// Close closes a socket. What was sent goes on being delivered, so that it does not wait.
func Close(fd int) { _, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// Control calls f with the descriptor of a connection or listener, which is valid during the call. Errors: it is closed, and those of f.
func Control(c syscall.Conn, f func(fd int) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// Another returns another descriptor of a socket. Errors: it is closed, or there are no descriptors left.
func Another(c syscall.Conn) (fd int, err error) {
	err = Control(c, func(of int) (err error) {
		fd, err = unix.FcntlInt(uintptr(of), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("take socket: %w", err)
	}
	return fd, nil
}

// Take takes the socket of a connection, which is closed. Errors: those of Another; then it is as it was.
func Take(c interface {
	syscall.Conn
	io.Closer
}) (fd int, err error) {
	if fd, err = Another(c); err == nil {
		_ = c.Close() // the socket is open still
	}
	return fd, err
}

// Stream is a socket that is read and written with deadlines. It owns the descriptor from now on.
func Stream(fd int, name string) *os.File { return os.NewFile(uintptr(fd), name) }

// Accept accepts a connection of a listening socket, and returns where its peer is. Its descriptor does not block. Errors: EAGAIN if none has come.
func Accept(fd int) (conn int, peer netip.AddrPort, err error) {
	for {
		var from syscall.RawSockaddrAny
		size := uint32(unsafe.Sizeof(from))
		n, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)),
			syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(n), addressOf(&from), nil
		case syscall.EINTR, syscall.ECONNABORTED: // that one has gone; the next may be there
		default:
			return -1, peer, errno
		}
	}
}

// addressOf is the address of a peer; not valid if it has none of the Internet.
func addressOf(from *syscall.RawSockaddrAny) netip.AddrPort {
	port := func(p *uint16) uint16 { b := (*[2]byte)(unsafe.Pointer(p)); return uint16(b[0])<<8 | uint16(b[1]) }
	switch from.Addr.Family {
	case syscall.AF_INET:
		a := (*syscall.RawSockaddrInet4)(unsafe.Pointer(from))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), port(&a.Port))
	case syscall.AF_INET6:
		a := (*syscall.RawSockaddrInet6)(unsafe.Pointer(from))
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), port(&a.Port))
	}
	return netip.AddrPort{}
}

// Local is the address that a socket was connected to.
func Local(fd int) netip.AddrPort {
	var at syscall.RawSockaddrAny
	size := uint32(unsafe.Sizeof(at))
	if _, _, errno := syscall.RawSyscall(syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return netip.AddrPort{}
	}
	return addressOf(&at)
}

// SendAtOnce has a socket send what it is given without collecting it (TCP_NODELAY). Those that a listening one accepts do so, too.
func SendAtOnce(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// SetSendBuffer asks for a send buffer of so many bytes.
func SetSendBuffer(fd, bytes int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes)
}
