package ingress

import (
	"io"
	"slices"
	"syscall"

	"weir/internal/rawsock"
	"weir/relay/httpcheck"
)

// onReadable reads what has come from a connection, once, and answers it.
func (k *eventLoop) onReadable(g *Conn) {
	defer k.gate.hub.Contain.End("fast request", func() { k.leave(g) })
	if g.state.blocked != nothing {
		k.pauseReads(g)
		return
	}
	if !g.claim() { // what has come would be published, and not answered
		k.leave(g)
		return
	}
	defer g.unclaim()
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

// serve answers what has come from a connection.
func (k *eventLoop) serve(g *Conn, b []byte) {
	s := g.state
	s.blocked = nothing
	n, rest := k.handleAll(g, b)
	if cap(k.out) > maxFast {
		defer func() { k.out = nil }()
	}
	unsent, err := k.send(s)
	if err == nil && rest == notEligible && s.replies == nil && len(unsent) == 0 {
		if rest = k.upgrade(g, b[n:]); rest == complete {
			return
		}
	}
	switch {
	case err != nil:
		k.leave(g)
		return
	case s.replies == nil && (rest == notEligible || len(unsent) > 0):
		k.pass(g, unsent, b[n:])
		return
	case rest == notEligible, rest == tooManyPending, s.replies != nil && s.replies.ready > 0:
		s.blocked = replies
	case rest == needsLoad:
		s.blocked = channelLoad
		k.load(g, k.missing)
	case rest == retryLater:
		s.blocked = loopFull
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
func (k *eventLoop) send(s *loopState) (unsent []byte, err error) {
	if s.replies != nil {
		s.replies.append(k.out, k.waits)
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
	s.replies = replyPool.Get().(*pendingReplies)
	s.replies.append(k.out, k.waits)
	s.replies.sent(n)
	return nil, nil
}

// mark says what a connection is at from now on.
func (k *eventLoop) mark(g *Conn, answered bool) {
	s, phase := g.state, g.at()
	switch {
	case s.replies != nil || s.blocked != nothing:
		if phase != answering {
			g.setPhase(answering)
		}
		return
	case s.last:
		k.leave(g)
		return
	case answered || phase == answering:
		g.setPhase(waiting)
		phase = waiting
	}
	if len(s.held) > 0 && phase == waiting {
		g.setPhase(reading)
	}
}

// receive receives once. It returns all that has come of the connection's next request.
func (k *eventLoop) receive(g *Conn) ([]byte, error) {
	if len(g.state.held) == 0 {
		n, err := rawsock.Receive(g.state.fd, k.buf)
		return k.buf[:n], err
	}
	have := len(g.state.held)
	g.state.held = slices.Grow(g.state.held, min(max(have, 4<<10), maxFast+httpcheck.MaxHeaderBytes)) // no more than twice of what has come
	n, err := rawsock.Receive(g.state.fd, g.state.held[have:cap(g.state.held)])
	g.state.held = g.state.held[:have+n]
	return g.state.held, err
}

// pauseReads keeps a connection out of the set, which would tell again and again what is not read.
func (k *eventLoop) pauseReads(g *Conn) {
	if s := g.state; !s.readsPaused {
		s.readsPaused = true
		_ = k.set.Remove(s.fd) // it is there
	}
}

// last reads nothing more from a connection, who leaves with what it is owed.
func (k *eventLoop) last(g *Conn) {
	s := g.state
	if s.replies == nil && s.blocked == nothing {
		k.leave(g)
		return
	}
	s.last = true
	k.pauseReads(g)
}

// leave closes a connection.
func (k *eventLoop) leave(g *Conn) {
	k.forget(g)
	_ = g.Close()
}

// pass hands a connection over to the HTTP server, with what is still to be sent and what has been read of it.
func (k *eventLoop) pass(g *Conn, unsent, rest []byte) {
	k.pauseReads(g)
	k.forget(g)
	g.state.unsent = slices.Clone(unsent)
	g.state.rest = slices.Clone(rest)
	g.state.held, g.state.replies = nil, nil
	g.promote()
	g.unclaim()
	k.gate.hub.Counters.Passed.Inc()
	k.handoff.put(g)
}
