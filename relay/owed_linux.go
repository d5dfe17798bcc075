package relay

import (
	"syscall"

	"weir/internal/rawsock"
	"weir/relay/problem"
)

// hand gives the clerk what was pledged.
func (k *desk) hand() {
	if len(k.fresh) > 0 {
		k.clerk.take(k.fresh)
		clear(k.fresh)
		k.fresh = k.fresh[:0]
	}
}

// collect goes on where something was waited for.
func (k *desk) collect() {
	if k.room == k.most && k.loads == 0 {
		return
	}
	k.settled, k.loaded = k.clerk.collect(k.settled, k.loaded)
	for i := range k.settled {
		k.room++
		k.settle(&k.settled[i])
	}
	for _, g := range k.paying {
		k.pay(g)
	}
	for _, l := range k.loaded {
		k.loads--
		k.came, k.failed = true, l.err
		k.resume(l.guest, loading)
		k.came, k.failed = false, nil
	}
	for len(k.parked) > 0 && k.room > 0 && k.loads < maxLoads {
		g := k.parked[0]
		k.parked[0] = nil
		k.parked = k.parked[1:]
		k.resume(g, full)
	}
	clear(k.settled)
	clear(k.paying)
	clear(k.loaded)
	k.paying = k.paying[:0]
	k.hand()
}

// settle notes how a pledge went.
func (k *desk) settle(p *pledge) {
	if !p.guest.seated.Load() { // it has left
		return
	}
	defer k.gate.hub.Contain.End("plain request", func() { k.leave(p.guest) })
	b := p.guest.seat.tab
	k.honour(b, p.err)
	if !b.due {
		b.due = true
		k.paying = append(k.paying, p.guest)
	}
}

// pay sends what has been settled for a guest, in one go.
func (k *desk) pay(g *guest) {
	defer k.gate.hub.Contain.End("plain request", func() { k.leave(g) })
	s := g.seat
	b := s.tab
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
		s.tab = nil
		b.release()
		if s.pause == owed {
			k.resume(g, owed)
		} else {
			k.mark(g, true)
		}
	case b.ready > 0 && s.pause == none:
		s.pause = owed // until all can be passed on
	}
}

// resume goes on with a guest that was paused for a reason.
func (k *desk) resume(g *guest, reason pause) {
	if !g.seated.Load() || g.seat.pause != reason {
		return
	}
	defer k.gate.hub.Contain.End("plain request", func() { k.leave(g) })
	s := g.seat
	k.serve(g, s.held)
	if g.seated.Load() && s.deaf && s.pause == none && !s.last {
		s.deaf = false
		if err := k.watch(s.fd); err != nil {
			k.leave(g)
		}
	}
}

// load has a channel loaded for a guest's next request.
func (k *desk) load(g *guest, channel string) {
	k.loads++
	l := load{guest: g, err: problem.Internal}
	k.gate.hub.Contain.Go(&k.helpers, "load for a desk", func() { // ends with the load; run waits for it
		l.err = k.gate.hub.Broker.Load(channel)
		k.clerk.bring(l)
	}, func() { k.clerk.bring(l) })
}
