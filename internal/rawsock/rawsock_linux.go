package rawsock

import (
	"io"
	"syscall"
	"unsafe"
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
