package pool

import (
	"net"
	"syscall"
)

// rawDescriptor is the descriptor of nc's socket if nc may be read and written through it, else -1. The
// number stays valid until kill closes nc.
func rawDescriptor(nc net.Conn) (int, syscall.RawConn) {
	var tcp *net.TCPConn
	switch nc := nc.(type) {
	case *net.TCPConn:
		tcp = nc
	case interface{ RawSocket() *net.TCPConn }: // a wrapper whose reads and writes are those of its socket
		tcp = nc.RawSocket()
	}
	if tcp == nil || !haveSend {
		return -1, nil
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return -1, nil
	}
	fd := -1
	if err := rc.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return -1, nil // it is closed: writing will say so
	}
	return fd, rc
}
