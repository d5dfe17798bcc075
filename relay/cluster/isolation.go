package cluster

import (
	"context"
	"log/slog"
	"strconv"
	"time"
)

// probePrefix is of the rows by which processes see through the table that there are others. They end with the bucket.
const probePrefix = "probe."

// What a probe says.
const (
	probeAsk  = "ask"  // its process does not hear enough of the others
	probeHere = "here" // somebody asks, and its process is there
)

// probes are what a process knows by those rows. Guarded by Cluster.mu.
type probes struct {
	own    uint64    // revision of this process's row that was last written
	told   uint64    // that was last told: all that was written before it is known here, too
	stale  uint64    // it says nothing up to here: the process was stopped since
	wanted bool      // another process asks
	others time.Time // when another process's row was last told
	latest uint64    // its revision
}

// cut reports whether what this process owns may be somebody else's: it is isolated, or was stopped and does not know yet what has happened.
func (c *Cluster) cut() bool {
	return c.isolated.Load() || int64(time.Since(c.started))-c.ticked.Load() > int64(isolation)
}

// Reached reports whether a channel that has no owner will have one that this process reaches: it is not cut off, and does not leave.
func (c *Cluster) Reached() bool { return !c.cut() && c.context.Err() == nil }

// doubt has this process not rely on what it knows until the table has confirmed it: it was stopped.
func (c *Cluster) doubt(now time.Time) {
	c.settled.Store(int64(now.Sub(c.started)))
	c.mu.Lock()
	c.probes.stale = max(c.probes.own, c.probes.told)
	c.resumed = now
	c.mu.Unlock()
	c.isolate(now, true)
}

// isolate notes whether this process is isolated, as was found at a time, and reports whether that has changed. What was found before it was stopped does not end it.
func (c *Cluster) isolate(now time.Time, cut bool) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !cut && c.resumed.After(now) || c.isolated.Swap(cut) == cut {
		return false
	}
	if c.cutSince = (time.Time{}); cut {
		c.cutSince = now
	}
	return true
}

// steady is since when what is heard can be relied on.
func (c *Cluster) steady() time.Time { return c.started.Add(time.Duration(c.settled.Load())) }

// probedBy notes that a probe of a process was told.
func (c *Cluster) probedBy(session, says string, revision uint64) {
	loaded := c.loaded.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.probes
	switch {
	case session == c.session:
		p.told = max(p.told, revision)
	case loaded && revision > p.latest:
		p.others = time.Now()
		p.wanted = p.wanted || says == probeAsk
		fallthrough
	default:
		p.latest = max(p.latest, revision)
	}
}

// judge finds out whether this process is cut off. It is connected if it hears most of those that were there, itself counted, and they hear
// it; one that has left in order is not missed. If it is not, it asks through the table. Where others show themselves there, or where
// the table cannot be written, it is isolated; where nobody does, it is the last one. It is not isolated any more when the table has confirmed what it knows, or, while that is not
// reached, when none of those that it hears has known more for a while.
func (c *Cluster) judge() {
	now := time.Now()
	here, known, behind := 1, 1, false
	c.mu.Lock()
	for _, m := range c.members {
		if m.heard.IsZero() || m.hello.Leaving || c.replaced(m, now) {
			continue
		}
		known++
		behind = behind || !m.ahead.IsZero() && now.Sub(m.heard) < alive
		ms, mutual := m.hello.Heard[c.session]
		if now.Sub(m.heard) < isolation && m.heard.After(c.resumed) && mutual && time.Duration(ms)*time.Millisecond < isolation {
			here++
		}
	}
	most := 2*here > known // a second earlier than connected: before others are missed here, this process is known to be the one
	if most {
		if c.heardMost = now; !c.connected {
			c.connectedSince = now
			c.probes.stale = max(c.probes.own, c.probes.told) // what was taken over meanwhile may not be known yet
		}
	}
	p := c.probes
	c.mu.Unlock()
	c.connected = now.Sub(c.heardMost) < isolation
	c.sees.Store(most || c.alone) // before the table is waited for
	isolated := c.isolated.Load()
	if (!c.connected || isolated || p.wanted) && now.Sub(c.probed) >= probeEvery && c.loaded.Load() {
		c.probed = now
		p = c.askTable(!c.connected)
	}
	confirmed := p.own > p.stale && p.told >= p.own
	others := now.Sub(p.others) < alive
	cut := false
	switch {
	case now.Sub(c.started) < isolation, c.connected && !isolated:
	case c.connected:
		cut = !confirmed && (behind || now.Sub(c.connectedSince) < alive)
	case others:
		cut = true
	default:
		cut = now.Sub(c.written) > isolation || isolated && !confirmed
	}
	if c.connected {
		c.written, c.aloneSince = now, now
	}
	c.alone = !c.connected && !others && !cut && now.Sub(c.aloneSince) > alive
	c.sees.Store(!cut && (most || c.alone))
	if others {
		c.aloneSince = now
	}
	if cut {
		c.settled.Store(int64(now.Sub(c.started)))
	}
	if c.isolate(now, cut) {
		c.config.Log.Warn("cut off from the other nodes", slog.Bool("isolated", cut), slog.Int("here", here), slog.Int("known", known))
	}
}

// replaced reports whether a process is not there any more for sure: it is not heard, and its node has another one since, which may be this one. Otherwise nodes that are killed and
// started again would be missed twice. Called with mu held.
func (c *Cluster) replaced(m *member, now time.Time) bool {
	if now.Sub(m.heard) < isolation {
		return false
	}
	if m.node == c.config.Node {
		return true
	}
	for _, other := range c.members {
		if other != m && other.node == m.node && other.heard.After(m.heard) {
			return true
		}
	}
	return false
}

// askTable writes this process's probe, and returns what is known by then.
func (c *Cluster) askTable(alone bool) probes {
	says := probeHere
	if alone {
		says = probeAsk
	}
	c.mu.Lock()
	c.probes.wanted = false
	expected := max(c.probes.own, c.probes.told)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.context, probeEvery)
	defer cancel()
	revision, err := c.node.Update(ctx, probePrefix+c.session, []byte(strconv.Quote(says)), expected)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.written, c.probes.own = time.Now(), revision
	}
	return c.probes
}
