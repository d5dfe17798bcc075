package ingress

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/internal/rawsock"
)

// listener accepts connections. It stands between the listening socket and the HTTP server, which would give
// up the listener at the first failed accept and knows no bounds that include upgraded connections.
type listener struct {
	net.Listener
	gate  *Gate
	limit int64        // connections in all
	bound string       // what says so
	end   func(fd int) // closes a connection that was upgraded, and whose peer is not counted

	// Set once by raw, where connections are accepted as descriptors.
	file *os.File           // of the listening socket: that of package net does not wait for others; nil: net.Conns are accepted
	rc   syscall.RawConn    // of file
	look func(uintptr) bool // accepts, into what follows

	// Owned by the goroutine that accepts.
	fd   int
	peer netip.AddrPort
	err  error

	reaper    reaper
	open      atomic.Int64
	exhausted atomic.Bool // the last accept failed for want of descriptors
	closed    chan struct{}
	once      sync.Once
}

// The pauses after an accept that failed for want of something: they double from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// BusyAnswer is the whole answer to a connection that is one too many; it is sent before anything is read.
const BusyAnswer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// TooManyAnswer is the answer to an address that has too many connections.
const TooManyAnswer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// Accept implements net.Listener. It returns an error only when the listener is closed.
func (d *listener) Accept() (net.Conn, error) {
	pause := firstPause
	for {
		nc, err := d.next()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			d.exhausted.Store(errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE))
			d.gate.hub.Counters.AcceptErrors.Inc()
			d.gate.hub.Log.Warn("accept failed", slog.String("error", err.Error()), slog.Duration("pause", pause))
			select {
			case <-time.After(pause):
			case <-d.closed:
				return nil, net.ErrClosed
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		d.exhausted.Store(false)
		if c := d.admit(nc); c != nil {
			return c, nil
		}
	}
}

// raw has connections accepted as descriptors, if ln is a listening TCP socket and the system can do that.
func (d *listener) raw(ln net.Listener) {
	tcp, ok := ln.(*net.TCPListener)
	if !ok || !rawsock.Supported {
		return
	}
	fd, err := rawsock.Another(tcp)
	if err != nil {
		return
	}
	file := rawsock.Stream(fd, "listener")
	rc, err := file.SyscallConn()
	if err == nil {
		err = rawsock.SendAtOnce(fd) // those that are accepted take it over
	}
	if err != nil {
		_ = file.Close()
		return
	}
	d.file, d.rc, d.look = file, rc, d.acceptOne
}

func (d *listener) acceptOne(fd uintptr) bool {
	d.fd, d.peer, d.err = rawsock.Accept(int(fd))
	return d.err != syscall.EAGAIN //nolint:errorlint // it is the kernel's, as it comes
}

// next waits for the next connection.
func (d *listener) next() (net.Conn, error) {
	if d.file == nil {
		nc, err := d.Listener.Accept()
		tcp, ok := nc.(*net.TCPConn)
		if err != nil || !ok { // a listener of tests, in memory
			return nc, err
		}
		return &Conn{listener: d, fd: -1, stream: tcp, peer: netip.AddrPortFrom(peerAddress(tcp.RemoteAddr()), portOf(tcp.RemoteAddr()))}, nil
	}
	if d.rc.Read(d.look) != nil {
		return nil, net.ErrClosed
	}
	if d.err != nil {
		return nil, d.err
	}
	return &Conn{listener: d, fd: d.fd, peer: netip.AddrPortFrom(d.peer.Addr().Unmap().WithZone(""), d.peer.Port())}, nil
}

// admit counts a connection in, or refuses it and returns nil.
func (d *listener) admit(nc net.Conn) net.Conn {
	g, ok := nc.(*Conn)
	if !ok {
		return nc
	}
	in := d.gate
	if d.open.Add(1) > d.limit {
		d.refuse(g, BusyAnswer, d.bound)
		return nil
	}
	peer := g.peer.Addr()
	if in.hub.Config.Limit.PerAddress > 0 && !in.Trusted(peer) {
		if !in.Addresses.Take(AddressKey(peer), in.hub.Config.Limit.PerAddress) {
			d.refuse(g, TooManyAnswer, "per_address")
			return nil
		}
		g.counted = true
	}
	d.reaper.add(g)
	return g
}

// gone counts a connection out. Where it is not open any more, its address has its place back.
func (d *listener) gone(counted bool, peer netip.Addr) {
	if counted {
		d.gate.Addresses.Give(AddressKey(peer))
	}
	d.open.Add(-1)
}

func (d *listener) refuse(g *Conn, answer, reason string) {
	d.gate.hub.Counters.Refused.Of(reason).Inc()
	if d.gate.tls == nil {
		_ = g.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // the buffer of a new socket is empty
		_, _ = g.Write([]byte(answer))
	}
	_ = g.Close()
}

// Close implements net.Listener.
func (d *listener) Close() error {
	d.once.Do(func() { close(d.closed) })
	if d.file != nil {
		_ = d.file.Close()
	}
	return d.Listener.Close()
}
