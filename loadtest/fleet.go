package loadtest

import (
	"net/netip"
	"sync/atomic"

	"weir/loadtest/record"
	"weir/loadtest/target"
)

// fleet is the lasting subscribers, spread over the loops: the checked ones on one loop that measures
// time, the counted ones on the others.
type fleet struct {
	e       *engine
	conns   []*conn
	docks   []*dock
	cutAt   atomic.Int64  // when the last herd began
	resumed atomic.Uint64 // came back since then
	lastAt  atomic.Int64  // when the last of them did
	cut     atomic.Uint64 // stalled connections that the target ended
}

// dock is the part of a fleet on one loop, and how it gets connected: a bounded number at a time.
type dock struct {
	f *fleet
	l loop

	// Owned by the loop.
	conns   []*conn
	waiting []*conn
	busy    int // connecting
	most    int
	herd    bool // reconnecting on purpose
}

// Connections of one loop that connect at the same time: in setup, and in a herd.
const (
	dialMost = 64
	herdMost = 2048
)

// portsPerAddress is how many connections one source address makes: the system has some 28,000 ports
// for each.
const portsPerAddress = 20_000

// newFleet puts the connections together; none is open yet.
func newFleet(e *engine) *fleet {
	f := &fleet{e: e}
	docks := []*dock{{f: f, l: e.checked, most: dialMost}}
	for _, l := range e.counted {
		docks = append(docks, &dock{f: f, l: l, most: dialMost})
	}
	f.docks = docks
	checked := e.plan.CheckedCount()
	for i := range e.plan.Subscribers {
		c := &conn{e: e, role: record.Counted, source: e.source(i)}
		d := docks[1+i%len(e.counted)]
		if e.plan.CheckedAt(i, checked) {
			c.role, d = record.Checked, docks[0]
		}
		c.l, c.owner = d.l, d
		c.sub.Index = i
		c.sub.User, c.sub.Token = e.userAt(i)
		for _, ch := range e.plan.Follows(i) {
			c.sub.Channels = append(c.sub.Channels, target.Followed{Name: e.names[ch]})
		}
		if e.plan.Presence {
			for _, ch := range e.plan.Follows(i) {
				c.sub.Channels = append(c.sub.Channels, target.Followed{Name: e.traits.Presence + e.names[ch], Watch: true})
			}
		}
		f.conns = append(f.conns, c)
		d.conns = append(d.conns, c)
	}
	return f
}

// connect opens every connection that is not open. It returns at once; each reports to the engine.
func (f *fleet) connect() {
	for _, d := range f.docks {
		d.l.post(func() {
			d.waiting = append(d.waiting[:0], d.missing()...)
			d.pump()
		})
	}
}

// missing lists the dock's connections that are not open.
func (d *dock) missing() (list []*conn) {
	for _, c := range d.conns {
		if c.phase == idle && !c.fate.stalled {
			list = append(list, c)
		}
	}
	return list
}

// pump opens as many as may connect at a time.
func (d *dock) pump() {
	for len(d.waiting) > 0 && d.busy < d.most {
		c := d.waiting[0]
		d.waiting = d.waiting[1:]
		d.busy++
		due := d.f.e.clock.now()
		if d.herd {
			due = c.due
		}
		c.open(due)
	}
}

func (d *dock) ready(c *conn) {
	e := d.f.e
	d.busy--
	d.pump()
	e.tally.opened.Add(1)
	e.tally.open.Add(1)
	e.connected(e.clock.now() - c.due)
	if d.herd {
		c.fate.resumed++
		d.f.resumed.Add(1)
		d.f.lastAt.Store(e.clock.now())
	}
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
	d.busy--
	e.tally.failed.Add(1)
	e.setupFailed(err)
	if d.herd && e.clock.now()-c.due < int64(e.plan.Drain) {
		d.waiting = append(d.waiting, c) // a herd tries until it is in
	}
	d.pump()
}

// stampede cuts every connection and lets them all come back where they stood. Counted connections do
// not know where they stand; they take the place of a checked one of the same channel.
func (f *fleet) stampede() {
	due := f.e.clock.now()
	f.resumed.Store(0)
	f.cutAt.Store(due)
	places := map[string]target.Followed{}
	f.docks[0].l.post(func() {
		for _, c := range f.docks[0].conns {
			for _, p := range c.sub.Channels {
				if p.Known {
					places[p.Name] = p
				}
			}
		}
		for i, d := range f.docks {
			if i == 0 {
				d.scatter(due)
				continue
			}
			d.l.post(func() {
				for _, c := range d.conns {
					for i, p := range c.sub.Channels {
						if at, ok := places[p.Name]; ok {
							c.sub.Channels[i] = at
						}
					}
				}
				d.scatter(due)
			})
		}
	})
}

// scatter cuts the dock's connections and opens them again, all due now.
func (d *dock) scatter(due int64) {
	d.herd, d.most = true, herdMost
	for _, c := range d.conns {
		if c.phase == listening {
			d.f.e.tally.open.Add(-1)
		}
		if c.phase == opening || c.phase == greeting {
			d.busy--
		}
		c.drop()
		c.due = due
	}
	d.waiting = append(d.waiting[:0], d.conns...)
	d.pump()
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
	if !e.at.Addr().Is4() || !e.at.Addr().IsLoopback() || e.plan.Subscribers <= portsPerAddress {
		return netip.Addr{}
	}
	n := 1 + i/portsPerAddress
	return netip.AddrFrom4([4]byte{127, 0, byte(n / 250), byte(1 + n%250)})
}
