package admin

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"weir/internal/pause"
	"weir/relay/stats"
)

// recordedSeconds is how far back the recorder goes.
const recordedSeconds = 3600

// watchedFor is how long after a dashboard's last request busy channels are noted for the next one.
const watchedFor = 5 * time.Second

// recorder keeps an hour of the relay's own figures, one row a second, for the dashboard: it needs no system, and
// looking adds nothing to what is counted. One goroutine, run, writes; requests read.
type recorder struct {
	server *Server
	names  []string // of a row's values: gauges, then counts; set once
	kinds  int      // how many of them are gauges

	mu     sync.Mutex
	values []float32          // rows one after the other, of len(names) values; NaN: not known; at most recordedSeconds of them
	next   int                // row that is written next, once all are there
	last   int64              // second of the newest row; 0: there is none
	asked  time.Time          // when a dashboard asked last
	top    []stats.TopChannel // of the last second
}

func newRecorder(s *Server) *recorder {
	gauges := ReadingGauges()
	return &recorder{server: s, names: append(gauges, ReadingCounts()...), kinds: len(gauges)}
}

// run writes a row each second until ctx is done.
func (c *recorder) run(ctx context.Context) {
	readings := c.server.Readings()
	watching := false
	defer func() {
		if watching {
			c.server.hub.Busiest.Watch(false)
		}
	}()
	for pause.For(ctx, c.untilNext()) == nil {
		watched := c.record(readings.Next())
		if watched != watching {
			watching = watched
			c.server.hub.Busiest.Watch(watching)
		}
		busiest := c.server.hub.Busiest.Of(c.last)
		c.mu.Lock()
		c.top = busiest
		c.mu.Unlock()
	}
}

// record adds a reading, and reports whether somebody watches.
func (c *recorder) record(x Reading) (watched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(c.server.sessions.Now().Unix()-1, x)
	return time.Since(c.asked) < watchedFor
}

// untilNext is how long the second goes on that is running by the clock.
func (c *recorder) untilNext() time.Duration {
	now := c.server.sessions.Now()
	return now.Truncate(time.Second).Add(time.Second).Sub(now)
}

// add appends a row for a second. Seconds that the process slept through have rows in which nothing is known. A clock
// that was set back does not write a second twice. The caller holds mu.
func (c *recorder) add(second int64, x Reading) {
	if c.last != 0 {
		second = max(second, c.last+1)
		for range min(second-c.last-1, recordedSeconds) {
			c.put(func(int) float32 { return float32(math.NaN()) })
		}
	}
	c.last = second
	c.put(func(i int) float32 {
		if i >= c.kinds {
			return float32(x.Counts[c.names[i]])
		}
		if v, ok := x.Gauges[c.names[i]]; ok {
			return float32(v)
		}
		return float32(math.NaN())
	})
}

// put writes a row. The caller holds mu.
func (c *recorder) put(value func(i int) float32) {
	n := len(c.names)
	if len(c.values) < recordedSeconds*n {
		for i := range n {
			c.values = append(c.values, value(i))
		}
		return
	}
	for i := range n {
		c.values[c.next*n+i] = value(i)
	}
	c.next = (c.next + 1) % recordedSeconds
}

// append appends the members "from" (second of the first value), "series" (values by name; null: not known) and "top"
// of what came after a second, and notes that somebody looks.
func (c *recorder) append(b []byte, after int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = time.Now()
	n := len(c.names)
	rows := len(c.values) / n
	first := max(c.last-int64(rows)+1, min(after, c.last)+1)
	skip := rows - int(c.last-first+1)
	b = strconv.AppendInt(append(b, `"from":`...), first, 10)
	b = append(b, `,"series":{`...)
	for i, name := range c.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, name), ":["...)
		for row := skip; row < rows; row++ {
			if row > skip {
				b = append(b, ',')
			}
			v := float64(c.values[(c.next+row)%rows*n+i])
			if math.IsNaN(v) {
				b = append(b, "null"...)
				continue
			}
			b = strconv.AppendFloat(b, v, 'g', 7, 64)
		}
		b = append(b, ']')
	}
	b = append(b, `},"top":[`...)
	for i, x := range c.top {
		if i > 0 {
			b = append(b, ',')
		}
		b = x.Append(b)
	}
	return append(b, ']')
}
