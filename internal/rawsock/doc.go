// Package rawsock sends and receives on the descriptor of a socket without ever waiting.
//
// [Send], [Receive] and [Skip] make the raw form of the system call: since it cannot block (MSG_DONTWAIT), telling the
// scheduler about it would cost more than a call that moves nothing. So do [Accept], [Shutdown] and [Close]. [Descriptor] lends the
// descriptor of a connection of package net, [Take] takes it, and [Stream] a connection with deadlines of a descriptor.
// The package holds no state, takes no lock and starts no goroutine. The caller sees to it that the descriptor is open
// and means the socket that it is taken for: a number is given out again as soon as it is closed.
//
// Systems other than Linux have none of this: [Supported] is false there, and the calls return EAGAIN.
package rawsock

import "syscall"

// Descriptor returns the descriptor of a connection's socket and the RawConn that it belongs to. The number means that
// socket until the connection is closed. Errors: those of a connection that is closed.
func Descriptor(c syscall.Conn) (fd int, rc syscall.RawConn, err error) {
	if rc, err = c.SyscallConn(); err != nil {
		return -1, nil, err
	}
	if err := rc.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return -1, nil, err
	}
	return fd, rc, nil
}
