package pool

import (
	"syscall"
	"unsafe"
)

// haveSend says that this system has the raw path.
const haveSend = true

// send writes what fits into the socket's buffer and never waits. A short count comes with EAGAIN or
// the error that ended the connection.
//
// The raw form of the call is used because it can not block (MSG_DONTWAIT): telling the scheduler
// about it would cost more than an empty call. MSG_NOSIGNAL keeps a closed peer from raising SIGPIPE.
func send(fd int, b []byte) (int, error) {
	done := 0
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
