package report

import (
	"fmt"
	"math"
	"slices"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// unevenMost is how far the places of the checked connections may be from evenly spread before a run does not count. A
// relay serves its connections in some order of their coming: those that came early get each message early.
const unevenMost = .1

// sample fills in how many connections were checked, and how they were chosen.
func (c *Connections) sample(r *record.Record) {
	channels := map[int]int{}
	all := make([]record.Conn, 0, len(r.Conns))
	for _, conn := range r.Conns {
		for _, ch := range conn.Channels {
			n := channels[ch]
			if conn.Role == record.Checked {
				n++
			}
			channels[ch] = n
		}
		if conn.Place > 0 {
			all = append(all, conn)
		}
	}
	if len(channels) > 0 {
		c.CheckedLeast = math.MaxInt
	}
	for _, n := range channels {
		c.CheckedLeast = min(c.CheckedLeast, n)
	}
	slices.SortFunc(all, func(a, b record.Conn) int { return a.Place - b.Place })
	seen := 0
	for i, conn := range all {
		if conn.Role == record.Checked {
			seen++
		}
		if c.Checked > 0 {
			c.Uneven = max(c.Uneven, math.Abs(float64(seen)/float64(c.Checked)-float64(i+1)/float64(len(all))))
		}
	}
	how := "one in 20 of each channel, at least 50"
	switch total := len(r.Conns); {
	case total == 0:
		c.Chosen = "no connections"
		return
	case c.Checked == total:
		c.Chosen = "all of " + plural(total, "connection")
		return
	case r.Header.Scenario.Checked > 0:
		how = "as asked for"
	case r.Header.Scenario.Checked == scenario.All:
		how = "all that may not stop reading"
	}
	c.Chosen = fmt.Sprintf("%d of %s: %s (%d where they are fewest), evenly spread over the order of connecting", c.Checked, plural(len(r.Conns), "connection"), how, c.CheckedLeast)
	if len(all) > 0 {
		c.Chosen += fmt.Sprintf(" (off by %.1f %% at most)", 100*c.Uneven)
	}
}
