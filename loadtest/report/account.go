package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"weir/loadtest/record"
)

// account is the sum over all deliveries.
type account struct {
	expected, received, lost, duplicated, reordered, corrupted, late, superseded float64
	conns                                                                        Connections
}

// group is the subscribers of the same channels.
type group struct {
	published float64       // messages acknowledged in its channels
	checked   []record.Conn // references: checked, never cut
	mostBytes uint64        // of its counted connections
}

// accounting adds everything up.
func accounting(r *record.Record) account {
	var a account
	groups := map[string]*group{}
	key := func(c record.Conn) string { return fmt.Sprint(c.Channels) }
	perMessage := average(r)
	for _, c := range r.Conns {
		g := groups[key(c)]
		if g == nil {
			g = &group{}
			for _, ch := range c.Channels {
				if ch < len(r.Channels) {
					n := r.Channels[ch]
					g.published += float64(n.Sent - min(n.Sent, n.Refused+n.Unanswered))
				}
			}
			groups[key(c)] = g
		}
		switch {
		case c.Role == record.Checked && c.Closes == 0 && c.Resumed == 0:
			g.checked = append(g.checked, c)
		case c.Role == record.Counted:
			g.mostBytes = max(g.mostBytes, c.Bytes)
		}
	}
	for _, c := range r.Conns {
		a.conns.Closed += c.Closes
		a.conns.Told += c.Told
		a.conns.Other += c.Other
		switch c.Role {
		case record.Stalled:
			a.conns.Stalled++
		case record.Checked:
			a.conns.Checked++
			a.add(c, 1)
			a.late += float64(c.Late)
		default:
			a.conns.Counted++
			a.count(r, c, groups[key(c)], perMessage)
		}
	}
	a.conns.StalledCut = r.End.Cut
	a.conns.Failed = r.End.Failed
	a.conns.Accounting = a.sentence(r)
	a.conns.sample(r)
	return a
}

// average is how many payload bytes one message took on the checked connections.
func average(r *record.Record) float64 {
	var bytes, messages float64
	for _, c := range r.Conns {
		if c.Role == record.Checked {
			bytes += float64(c.Bytes)
			messages += float64(c.Received + c.Duplicated + c.Corrupted)
		}
	}
	if messages == 0 {
		return 0
	}
	return bytes / messages
}

// add adds a checked connection, or a counted one that is like it. A damaged message did arrive: it is
// not lost as well.
func (a *account) add(c record.Conn, times float64) {
	lost := c.Missing - min(c.Missing, c.Corrupted)
	a.expected += times * float64(c.Received+c.Missing)
	a.received += times * float64(c.Received)
	a.lost += times * float64(lost)
	a.duplicated += times * float64(c.Duplicated)
	a.reordered += times * float64(c.Reordered)
	a.corrupted += times * float64(c.Corrupted)
	a.superseded += times * float64(c.Superseded)
}

// count adds a counted connection.
func (a *account) count(r *record.Record, c record.Conn, g *group, perMessage float64) {
	if c.Resumed > 0 {
		a.conns.Unaccounted++
		return
	}
	slack := float64(r.Header.Scenario.Payload) / 2
	if !r.Header.Skimmed {
		slack = max(slack, .005*float64(c.Bytes)) // heartbeats and chunk heads are among the bytes
	}
	if c.Closes == 0 {
		if ref, exact := g.like(c, slack); ref != nil {
			if exact {
				a.conns.Alike++
			} else {
				a.conns.Similar++
			}
			a.add(*ref, 1)
			return
		}
		least := g.published * float64(r.Header.Scenario.Payload)
		if len(g.checked) == 0 && float64(g.mostBytes-c.Bytes) < slack && float64(c.Bytes) >= least {
			a.conns.Unreferenced++
			a.expected += g.published
			a.received += g.published
			return
		}
	}
	if len(g.checked) == 0 {
		a.conns.Unreferenced++
	}
	a.conns.BytesMismatch++
	a.estimate(c, g, perMessage)
}

// like finds a checked connection that received what a counted one did: exactly the same sequence of
// frame sizes, or else as many bytes give or take slack.
func (g *group) like(c record.Conn, slack float64) (ref *record.Conn, exact bool) {
	for i := range g.checked {
		k := &g.checked[i]
		if k.Frames == c.Frames && k.Order == c.Order && k.Bytes == c.Bytes {
			return k, true
		}
		if math.Abs(float64(k.Bytes)-float64(c.Bytes)) < slack {
			ref = k
		}
	}
	return ref, false
}

// estimate takes the messages of a counted connection from its bytes.
func (a *account) estimate(c record.Conn, g *group, perMessage float64) {
	expected := g.published
	if len(g.checked) > 0 {
		ref := slices.MaxFunc(g.checked, func(a, b record.Conn) int { return int(int64(a.Received) - int64(b.Received)) })
		expected = float64(ref.Received + ref.Missing)
		if ref.Received > 0 {
			perMessage = float64(ref.Bytes) / float64(ref.Received)
		}
	}
	got := 0.0
	if perMessage > 0 {
		got = math.Floor(float64(c.Bytes)/perMessage + .5)
	}
	a.expected += expected
	a.received += min(got, expected)
	a.lost += max(expected-got, 0)
	a.duplicated += max(got-expected, 0)
}

// sentence describes how the numbers came about.
func (a *account) sentence(r *record.Record) string {
	c := a.conns
	var s strings.Builder
	fmt.Fprintf(&s, "%s checked message by message (channel, number, CRC)", plural(c.Checked, "connection"))
	if c.Counted > 0 {
		if !r.Header.Skimmed {
			fmt.Fprintf(&s, "; %s counted by bytes, of which %d received as many as a checked one of the same channels", plural(c.Counted, "connection"), c.Alike+c.Similar)
		} else {
			fmt.Fprintf(&s, "; %s counted by frames and bytes, of which %d received exactly the frames of a checked one of the same channels", plural(c.Counted, "connection"), c.Alike)
		}
	}
	if c.Similar > 0 && r.Header.Skimmed {
		fmt.Fprintf(&s, ", %d as many bytes as one, in other frames", c.Similar)
	}
	if c.Unreferenced > 0 {
		fmt.Fprintf(&s, ", %d have no checked one to compare with and were compared with each other", c.Unreferenced)
	}
	if c.BytesMismatch > 0 {
		fmt.Fprintf(&s, ", %d received other bytes and their messages are estimated", c.BytesMismatch)
	}
	if c.Unaccounted > 0 {
		fmt.Fprintf(&s, ", %d were cut and resumed and are left out", c.Unaccounted)
	}
	if c.Stalled > 0 {
		fmt.Fprintf(&s, "; %d stopped reading on purpose and are left out", c.Stalled)
	}
	return s.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
