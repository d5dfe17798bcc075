package relay

import (
	"io"
	"slices"
	"syscall"

	"weir/internal/rawsock"
)

// turn reads what has come from a guest, once, and answers it.
func (k *desk) turn(g *guest) {
	defer k.gate.hub.Contain.End("plain request", func() { k.leave(g) })
	if g.seat.pause != none {
		k.deafen(g)
		return
	}
	b, err := k.receive(g)
	switch {
	case err == nil:
		k.serve(g, b)
	case err == syscall.EAGAIN: //nolint:errorlint // it is the kernel's, as it comes
	case err == io.EOF: //nolint:errorlint // as above
		k.last(g)
	default:
		k.leave(g)
	}
}

// serve answers what has come from a guest.
func (k *desk) serve(g *guest, b []byte) {
	s := g.seat
	s.pause = none
	n, rest := k.take(g, b)
	if cap(k.out) > maxPlain {
		defer func() { k.out = nil }()
	}
	unsent, err := k.send(s)
	switch {
	case err != nil:
		k.leave(g)
		return
	case s.tab == nil && (rest == foreign || len(unsent) > 0):
		k.pass(g, unsent, b[n:])
		return
	case rest == foreign, rest == crowded, s.tab != nil && s.tab.ready > 0:
		s.pause = owed
	case rest == absent:
		s.pause = loading
		k.load(g, k.absent)
	case rest == later:
		s.pause = full
		k.parked = append(k.parked, g)
	}
	if n == len(b) {
		s.held = nil
	} else {
		s.held = append(s.held[:0], b[n:]...)
	}
	k.mark(g, n > 0)
}

// send sends the answers that do not wait, and nothing behind those that do: they are owed.
func (k *desk) send(s *seat) (unsent []byte, err error) {
	if s.tab != nil {
		s.tab.owe(k.out, k.waits)
		return nil, nil
	}
	now := k.out
	if len(k.waits) > 0 {
		now = now[:k.waits[0].from]
	}
	n, err := rawsock.Send(s.fd, now)
	if err == syscall.EAGAIN { //nolint:errorlint // it is the kernel's, as it comes
		err = nil
	}
	if err != nil || len(k.waits) == 0 {
		return k.out[n:], err
	}
	s.tab = tabs.Get().(*tab)
	s.tab.owe(k.out, k.waits)
	s.tab.sent(n)
	return nil, nil
}

// mark says what a guest is at from now on.
func (k *desk) mark(g *guest, answered bool) {
	s, phase := g.seat, g.phase.Load()&(1<<phaseBits-1)
	switch {
	case s.tab != nil || s.pause != none:
		if phase != answering {
			g.at(answering)
		}
		return
	case s.last:
		k.leave(g)
		return
	case answered || phase == answering:
		g.at(waiting)
		phase = waiting
	}
	if len(s.held) > 0 && phase == waiting {
		g.at(reading)
	}
}

// receive receives once. It answers all that has come of the guest's next request.
func (k *desk) receive(g *guest) ([]byte, error) {
	if len(g.seat.held) == 0 {
		n, err := rawsock.Receive(g.seat.fd, k.buf)
		return k.buf[:n], err
	}
	have := len(g.seat.held)
	g.seat.held = slices.Grow(g.seat.held, min(max(have, 4<<10), maxPlain+maxHeaderBytes)) // no more than twice of what has come
	n, err := rawsock.Receive(g.seat.fd, g.seat.held[have:cap(g.seat.held)])
	g.seat.held = g.seat.held[:have+n]
	return g.seat.held, err
}

// deafen keeps a guest out of the set, which would tell again and again what is not read.
func (k *desk) deafen(g *guest) {
	if s := g.seat; !s.deaf {
		s.deaf = true
		_ = k.set.Remove(s.fd) // it is there
	}
}

// last reads nothing more from a guest, who leaves with what it is owed.
func (k *desk) last(g *guest) {
	s := g.seat
	if s.tab == nil && s.pause == none {
		k.leave(g)
		return
	}
	s.last = true
	k.deafen(g)
}

// leave closes a guest.
func (k *desk) leave(g *guest) {
	k.forget(g)
	_ = g.Close()
}

// pass hands a guest over to the HTTP server, with what is still to be sent and what has been read of it.
func (k *desk) pass(g *guest, unsent, rest []byte) {
	k.deafen(g)
	k.forget(g)
	g.seat.unsent = slices.Clone(unsent)
	g.seat.rest = slices.Clone(rest)
	g.seat.held, g.seat.tab = nil, nil
	k.gate.hub.Counters.Passed.Inc()
	k.lane.put(g)
}
