package pool

import (
	"net"

	"weir/internal/rawsock"
)

// detacher is a connection whose stream socket the pool can take over: end closes it, and does not wait; many may have the same. The connection itself is of no use any more then, unless there was an error.
type detacher interface {
	Detach() (fd int, end func(fd int), err error)
}

// detach takes over the socket of nc, if it may be read and written through its descriptor.
func (p *Pool) detach(nc net.Conn) (fd int, end func(fd int), ok bool) {
	tcp, isTCP := nc.(*net.TCPConn)
	other, isOther := nc.(detacher)
	if !rawsock.Supported || !isTCP && !isOther || p.readiness() == nil {
		return -1, nil, false
	}
	var err error // of one that is closed already: writing will say so
	if isTCP {
		fd, err = rawsock.Take(tcp)
		return fd, rawsock.Close, err == nil
	}
	fd, end, err = other.Detach()
	return fd, end, err == nil
}
