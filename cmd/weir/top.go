package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// topCommand is weir top.
type topCommand struct {
	Count int  `short:"n" placeholder:"N" help:"End after so many seconds."`
	JSON  bool `name:"json" help:"Print one JSON object a second."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*topCommand) Help() string {
	return "Prints the figures of the last second, each second; on a terminal in place. Ctrl-C ends it. Latency is from publish to write."
}

// readings are the figures of a relay: of the last second that is over.
type readings struct {
	Relay struct {
		Version string `json:"version"`
		Started int64  `json:"started"` // ms since 1970
		Now     int64  `json:"now"`
	} `json:"relay"`
	From   int64                 `json:"from"`   // second of the first value
	Series map[string][]*float64 `json:"series"` // null: not known
	Top    []struct {
		Channel     string `json:"channel"`
		Messages    uint64 `json:"messages"`
		Deliveries  uint64 `json:"deliveries"`
		Subscribers int    `json:"subscribers"`
	} `json:"top"`
	Slow []struct {
		Connection string `json:"connectionId"`
		User       string `json:"userId"`
		Address    string `json:"address"`
		Queued     int    `json:"queued"`
	} `json:"slow"`
}

// Run asks once a second and prints.
func (c *topCommand) Run(p *program) error {
	if c.Count < 0 {
		return wrongf("top: --count: expected 0, for no end, or more")
	}
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	clear := ""
	if !c.JSON && terminal(p.stdout) {
		clear = "\x1b[H\x1b[2J"
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var seen int64
	for n := 0; c.Count == 0 || n < c.Count; {
		x, raw, err := lastSecond(ctx, r, seen)
		if err != nil {
			return unlessLeft(ctx, fmt.Errorf("top: %w", err))
		}
		if x != nil {
			n++
			if seen = x.second(); c.JSON {
				_, err = fmt.Fprintf(p.stdout, "%s\n", raw)
			} else {
				_, err = io.WriteString(p.stdout, clear+x.String())
			}
			if err != nil {
				return unlessLeft(ctx, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

// lastSecond asks for the figures after a second; nil: there are none yet.
func lastSecond(ctx context.Context, r *adminListener, seen int64) (*readings, json.RawMessage, error) {
	var raw json.RawMessage
	after := max(seen, time.Now().Unix()-3) // the clock of the relay may be another: it tells its newest second then
	if err := r.Do(ctx, "GET", "/figures?after="+strconv.FormatInt(after, 10), nil, &raw); err != nil {
		return nil, nil, err
	}
	var x readings
	if err := json.Unmarshal(raw, &x); err != nil {
		return nil, nil, fmt.Errorf("the response is not from a relay: %w", err)
	}
	if len(x.Series["connections"]) == 0 {
		return nil, nil, nil
	}
	return &x, raw, nil
}

// second is the newest second of the readings.
func (x *readings) second() int64 { return x.From + int64(len(x.Series["connections"])) - 1 }

// last is the newest value of a series as text.
func (x *readings) last(name string, as func(float64) string) string {
	s := x.Series[name]
	if len(s) == 0 || s[len(s)-1] == nil {
		return "-"
	}
	return as(*s[len(s)-1])
}

// rows is how many channels and how many readers are shown.
const rows = 10

// String is a screen of 80 columns and 30 lines at most.
func (x *readings) String() string {
	var b strings.Builder
	n := func(name string) string { return x.last(name, short) }
	ms := func(name string) string {
		return x.last(name, func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) })
	}
	up := time.Duration(x.Relay.Now-x.Relay.Started) * time.Millisecond
	fmt.Fprintf(&b, "weir %s  up %s  %s\n", x.Relay.Version, up.Truncate(time.Second), time.Unix(x.second(), 0).Format(time.TimeOnly))
	fmt.Fprintf(&b, "connections %s (ws %s, sse %s)  channels %s  subscriptions %s\n", n("connections"), n("sessions/ws"), n("sessions/sse"), n("channels"), n("subscriptions"))
	fmt.Fprintf(&b, "published %s/s  delivered %s/s  writes %s/s  sent %sB/s\n", n("published"), n("delivered"), n("frames"), n("sent"))
	fmt.Fprintf(&b, "latency ms p50 %s  p99 %s  p99.9 %s\n", ms("latency/p50"), ms("latency/p99"), ms("latency/p999"))
	fmt.Fprintf(&b, "cpu %s  memory %sB  queued %sB for %s  slow closed %s\n", x.last("cpu", func(v float64) string { return strconv.FormatFloat(v*100, 'f', 0, 64) + "%" }),
		n("memory"), n("queued"), n("lagging"), n("drops/slow"))
	if len(x.Top) > 0 {
		fmt.Fprintf(&b, "\n%-44s %10s %10s %10s\n", "CHANNEL", "MESSAGES/s", "DELIVERED/s", "FOLLOWERS")
		for _, t := range x.Top[:min(rows, len(x.Top))] {
			fmt.Fprintf(&b, "%-44.44s %10s %10s %10s\n", t.Channel, short(float64(t.Messages)), short(float64(t.Deliveries)), short(float64(t.Subscribers)))
		}
	}
	if len(x.Slow) > 0 {
		fmt.Fprintf(&b, "\n%-28s %-24s %-16s %8s\n", "SLOW READER", "USER", "ADDRESS", "QUEUED")
		for _, s := range x.Slow[:min(rows, len(x.Slow))] {
			fmt.Fprintf(&b, "%-28.28s %-24.24s %-16.16s %7sB\n", s.Connection, s.User, s.Address, short(float64(s.Queued)))
		}
	}
	return b.String()
}

// short is a number in at most five characters, such as 12.3k.
func short(v float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		switch {
		case v < 9.95 && unit != "":
			return strconv.FormatFloat(v, 'f', 1, 64) + unit
		case v < 999.5:
			return strconv.FormatFloat(v, 'f', 0, 64) + unit
		}
		v /= 1000
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + "T"
}
