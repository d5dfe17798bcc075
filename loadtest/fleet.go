package loadtest

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"weir/loadtest/record"
	"weir/loadtest/target"
)

// fleet is the lasting subscribers, spread over the loops: the checked ones on one loop that measures
// time, the counted ones on the others. They are opened in their order, whatever loop they are on, a bounded
// number at a time, so that the checked ones have among all of them the places that the plan gave them.
type fleet struct {
	e       *engine
	conns   []*conn
	docks   []*dock
	checked int           // connections of the first dock
	cutAt   atomic.Int64  // when the last herd began
	resumed atomic.Uint64 // came back since then
	lastAt  atomic.Int64  // when the last of them did
	cut     atomic.Uint64 // stalled connections that the target ended

	mu sync.Mutex

	// Guarded by mu.
	waiting []*conn // to be opened, in this order
	busy    int     // connecting
	most    int     // of them at a time
	opening bool    // a loop opens the first of those that wait, or was asked to
	herd    bool    // reconnecting on purpose
	places  int     // connections opened so far
}

// dock is the part of a fleet on one loop.
type dock struct {
	f     *fleet
	l     loop
	conns []*conn // set once
	beats beats   // owned by the loop: when they say something by themselves
}

// Connections that connect at the same time: in setup, and in a herd.
const (
	dialMost = 64
	herdMost = 2048
)

// portsPerAddress is how many connections one source address makes: the system has some 28,000 ports
// for each.
const portsPerAddress = 20_000

// newFleet puts the connections together; none is open yet.
func newFleet(e *engine) *fleet {
	f := &fleet{e: e, most: dialMost, docks: []*dock{{l: e.checked}}}
	for _, l := range e.counted {
		f.docks = append(f.docks, &dock{l: l})
	}
	for _, d := range f.docks {
		d.f = f
		d.beats.every = beatEvery(e.target)
	}
	for i, checked := range e.plan.Sample() {
		c := &conn{e: e, role: record.Counted, source: e.source(i), group: e.plan.Group(i)}
		d := f.docks[1+i%len(e.counted)]
		if checked {
			c.role, d = record.Checked, f.docks[0]
		}
		c.l, c.owner = d.l, d
		c.sub.Index = i + e.part().Subscriber
		c.sub.User, c.sub.Token = e.userAt(i)
		follows := e.plan.Follows(c.sub.Index)
		for _, ch := range follows {
			c.sub.Channels = append(c.sub.Channels, target.Followed{Name: e.names[ch], Number: ch})
		}
		if e.plan.Presence {
			for _, ch := range follows {
				c.sub.Channels = append(c.sub.Channels, target.Followed{Name: e.traits.Presence + e.names[ch], Watch: true})
			}
		}
		f.conns = append(f.conns, c)
		d.conns = append(d.conns, c)
	}
	f.checked = len(f.docks[0].conns)
	return f
}

// each runs do for every connection, on its loop, and waits for it.
func (f *fleet) each(do func(c *conn)) {
	for _, d := range f.docks {
		f.e.on(d.l, func() {
			for _, c := range d.conns {
				do(c)
			}
		})
	}
}

// connect opens those of the first n connections that are not open. It does not wait for them; each reports to the engine.
func (f *fleet) connect(n int) {
	missing := map[*conn]bool{}
	f.each(func(c *conn) {
		if c.phase == idle && !c.fate.stalled {
			missing[c] = true
		}
	})
	f.mu.Lock()
	for _, c := range f.waiting {
		delete(missing, c)
	}
	for _, c := range f.conns[:n] {
		if missing[c] {
			f.waiting = append(f.waiting, c)
		}
	}
	f.mu.Unlock()
	f.start()
}

// start has the first of those that wait opened, and with it the others.
func (f *fleet) start() {
	l := f.docks[0].l
	l.post(func() { f.pump(l) })
}

// pump opens as many as may connect at a time, in their order: one whose turn it is on another loop is opened there, and
// nothing is opened before it has been. On loop l.
func (f *fleet) pump(l loop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.opening && len(f.waiting) > 0 && f.busy < f.most {
		f.opening = true
		c := f.waiting[0]
		if c.l != l {
			c.l.post(func() {
				f.mu.Lock()
				f.opening = false
				f.mu.Unlock()
				f.pump(c.l)
			})
			return
		}
		f.waiting = f.waiting[1:]
		f.busy++
		f.places++
		c.place = f.places
		due := c.due
		if !f.herd {
			due = f.e.clock.now()
		}
		f.mu.Unlock()
		c.open(due)
		f.mu.Lock()
		f.opening = false
	}
}

// settled notes that a connection does not connect any more, and lets others. again puts it back. On the connection's loop.
func (f *fleet) settled(c *conn, again bool) {
	f.mu.Lock()
	f.busy--
	if again {
		f.waiting = append(f.waiting, c)
	}
	f.mu.Unlock()
	f.pump(c.l)
}

func (d *dock) ready(c *conn) {
	e := d.f.e
	d.f.settled(c, false)
	e.tally.opened.Add(1)
	e.tally.open.Add(1)
	e.connected(e.clock.now() - c.due)
	if d.f.herded() {
		c.fate.resumed++
		d.f.resumed.Add(1)
		d.f.lastAt.Store(e.clock.now())
	}
}

func (f *fleet) herded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.herd
}

func (d *dock) lost(c *conn, was phase, err error) {
	e := d.f.e
	if was == listening {
		e.tally.open.Add(-1)
		c.fate.closes++
		if c.fate.stalled {
			d.f.cut.Add(1)
			return
		}
		e.trouble("a subscriber was lost: " + words(err))
		return
	}
	e.tally.failed.Add(1)
	e.setupFailed(err)
	d.f.settled(c, d.f.herded() && e.clock.now()-c.due < int64(e.plan.Drain)) // a herd tries until it is in
}

// stampede cuts every connection and lets them all come back where they stood. Counted connections do
// not know where they stand; they take the place of a checked one of the same channel.
func (f *fleet) stampede() {
	due := f.e.clock.now()
	f.resumed.Store(0)
	f.cutAt.Store(due)
	f.mu.Lock()
	f.herd, f.most, f.waiting = true, herdMost, nil
	f.mu.Unlock()
	places := map[string]target.Followed{}
	f.each(func(c *conn) {
		for i, p := range c.sub.Channels {
			if c.role == record.Checked && p.Known {
				places[p.Name] = p
			}
			if at, ok := places[p.Name]; ok && c.role == record.Counted {
				c.sub.Channels[i] = at
			}
		}
		switch c.phase {
		case listening:
			f.e.tally.open.Add(-1)
		case opening, greeting:
			f.mu.Lock()
			f.busy--
			f.mu.Unlock()
		}
		c.drop()
		c.due = due
	})
	f.mu.Lock()
	f.waiting = slices.Clone(f.conns)
	f.mu.Unlock()
	f.start()
}

// stall makes a share of the counted connections stop reading, evenly spread. Checked ones are left
// alone: they show what the others notice.
func (f *fleet) stall(share float64) {
	want := int(share*float64(len(f.conns)) + .5)
	for di, d := range f.docks {
		if di == 0 {
			continue
		}
		d.l.post(func() {
			n := want * (di) / (len(f.docks) - 1)
			n -= want * (di - 1) / (len(f.docks) - 1)
			for i, c := range d.conns {
				if len(d.conns) > 0 && (i+1)*n/len(d.conns) != i*n/len(d.conns) && c.phase == listening {
					c.fate.stalled = true
					c.sock.pause()
				}
			}
		})
	}
}

// source is the own address of connection i: the system's choice, unless there are more connections
// than one address has ports.
func (e *engine) source(i int) netip.Addr {
	if !e.at[0].Addr().Is4() || !e.at[0].Addr().IsLoopback() || e.plan.Subscribers <= portsPerAddress {
		return netip.Addr{}
	}
	n := 1 + i/portsPerAddress
	return netip.AddrFrom4([4]byte{127, 0, byte(n / 250), byte(1 + n%250)})
}
