package ingress

import (
	"syscall"

	"weir/broker"
	"weir/internal/rawsock"
	"weir/relay/problem"
)

// submit has what is pending come back when it is settled: what waits for another node by itself, the rest by the ack waiter.
func (k *eventLoop) submit() {
	disk := k.fresh[:0]
	for _, p := range k.fresh {
		if p.receipt.Then == nil {
			disk = append(disk, p)
			continue
		}
		p.receipt.Then(func(at broker.Position, err error) {
			p.at, p.err = at, err
			k.waiter.settled(&p)
		})
	}
	if len(disk) > 0 {
		k.waiter.add(disk)
	}
	clear(k.fresh)
	k.fresh = k.fresh[:0]
}

// drain goes on where something was waited for.
func (k *eventLoop) drain() {
	if k.room == k.most && k.loads == 0 {
		return
	}
	k.resolved, k.loaded = k.waiter.drain(k.resolved, k.loaded)
	for i := range k.resolved {
		k.room++
		k.resolve(&k.resolved[i])
	}
	for _, g := range k.flushing {
		k.flush(g)
	}
	for _, l := range k.loaded {
		k.loads--
		k.came, k.failed = true, l.err
		k.resume(l.conn, channelLoad)
		k.came, k.failed = false, nil
	}
	for len(k.parked) > 0 && k.room > 0 && k.loads < maxLoads {
		g := k.parked[0]
		k.parked[0] = nil
		k.parked = k.parked[1:]
		k.resume(g, loopFull)
	}
	clear(k.resolved)
	clear(k.flushing)
	clear(k.loaded)
	k.flushing = k.flushing[:0]
	k.submit()
}

// resolve notes how a pending ack went.
func (k *eventLoop) resolve(p *pendingAck) {
	if !p.conn.atLoop.Load() { // it has left
		return
	}
	defer k.gate.hub.Contain.End("fast request", func() { k.leave(p.conn) })
	b := p.conn.state.replies
	k.complete(b, p)
	if !b.due {
		b.due = true
		k.flushing = append(k.flushing, p.conn)
	}
}

// flush sends what has been settled for a connection, in one go.
func (k *eventLoop) flush(g *Conn) {
	defer k.gate.hub.Contain.End("fast request", func() { k.leave(g) })
	s := g.state
	b := s.replies
	b.due = false
	n, err := rawsock.Send(s.fd, b.out[:b.ready])
	if err != nil && err != syscall.EAGAIN { //nolint:errorlint // it is the kernel's, as it comes
		k.leave(g)
		return
	}
	b.sent(n)
	switch {
	case len(b.waits) == 0 && b.ready > 0:
		k.pass(g, b.out, s.held)
		b.release()
	case len(b.waits) == 0:
		s.replies = nil
		b.release()
		if s.blocked == replies {
			k.resume(g, replies)
		} else {
			k.mark(g, true)
		}
	case b.ready > 0 && s.blocked == nothing:
		s.blocked = replies // until all can be passed on
	}
}

// resume goes on with a connection that was paused for a reason.
func (k *eventLoop) resume(g *Conn, reason blockedOn) {
	if !g.atLoop.Load() || g.state.blocked != reason {
		return
	}
	defer k.gate.hub.Contain.End("fast request", func() { k.leave(g) })
	s := g.state
	k.serve(g, s.held)
	if g.atLoop.Load() && s.readsPaused && s.blocked == nothing && !s.last {
		s.readsPaused = false
		if err := k.watch(s.fd); err != nil {
			k.leave(g)
		}
	}
}

// load has a channel loaded for a connection's next request.
func (k *eventLoop) load(g *Conn, channel string) {
	k.loads++
	l := load{conn: g, err: problem.Internal}
	k.gate.hub.Contain.Go(&k.helpers, "load for an event loop", func() { // ends with the load; run waits for it
		l.err = k.gate.hub.Broker.Load(channel)
		k.waiter.done(l)
	}, func() { k.waiter.done(l) })
}
