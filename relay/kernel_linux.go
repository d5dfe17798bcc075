package relay

import (
	"errors"
	"io"
	"syscall"
	"unsafe"
)

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
