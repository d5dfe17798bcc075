package pool

import (
	"io"
	"net"

	"weir/internal/rawsock"
)

// detacher is a connection whose stream socket the pool can take over: closing end closes the descriptor, and does not wait. The
// connection itself is of no use any more then, unless there was an error.
type detacher interface {
	Detach() (fd int, end io.Closer, err error)
}

// socket is a descriptor with which nothing else is to be closed.
type socket int

// Close implements io.Closer.
func (s socket) Close() error {
	rawsock.Close(int(s))
	return nil
}

// detach takes over the socket of nc, if it may be read and written through its descriptor.
func (p *Pool) detach(nc net.Conn) (fd int, end io.Closer, ok bool) {
	tcp, isTCP := nc.(*net.TCPConn)
	other, isOther := nc.(detacher)
	if !rawsock.Supported || !isTCP && !isOther || p.readiness() == nil {
		return -1, nil, false
	}
	var err error // of one that is closed already: writing will say so
	if isTCP {
		fd, err = rawsock.Take(tcp)
		return fd, socket(fd), err == nil
	}
	fd, end, err = other.Detach()
	return fd, end, err == nil
}
