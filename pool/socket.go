package pool

import (
	"net"
	"syscall"

	"weir/internal/rawsock"
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
	if tcp == nil || !rawsock.Supported {
		return -1, nil
	}
	fd, rc, _ := rawsock.Descriptor(tcp) // of one that is closed there is none: writing will say so
	return fd, rc
}
