package motia

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/relay"
)

// clock makes timestamps: the wall clock in milliseconds, with three digits behind the point, but each is greater than all before
// it. Clients drop what is not newer than what they have of an item, so this also holds across restarts: how far it has got is kept,
// if anything is, in case the wall clock is put back meanwhile. On several nodes none is behind the others, which it asks: a client may
// come back to any of them.
type clock struct {
	last   atomic.Int64 // microseconds; the last timestamp
	ahead  atomic.Int64 // microseconds by which the wall clocks of others are ahead
	agreed atomic.Bool  // the others were asked

	host    relay.Host
	kept    int64 // as it was last stored; owned by the goroutine, and by close after that
	stop    chan struct{}
	working sync.WaitGroup
}

// Where the clock stores how far it has got, and how often.
const (
	callClock    = "motia.clock" // how far another node's clock has got
	clockChannel = clockNamespace + ":clock"
	clockKey     = "last"
	clockEvery   = 5 * time.Second
)

// start begins behind everything that was made before.
func (c *clock) start(host relay.Host) error {
	c.host, c.stop = host, make(chan struct{})
	if !host.Alone() { // nothing is on disk there, and no channel has an owner yet
		host.Answer(callClock, func([]byte) ([]byte, error) { return strconv.AppendInt(nil, max(c.now(), c.last.Load()), 10), nil })
		host.Contain().Loop(&c.working, "motia clock", contain.Closed(c.stop), c.run, nil)
		return nil
	}
	if err := host.Broker().Load(clockChannel); err != nil {
		return err
	}
	if data, _, ok := host.Broker().Item(clockChannel, "", clockKey); ok {
		stored, _ := strconv.ParseInt(string(data), 10, 64)
		c.kept = stored + 2*clockEvery.Microseconds() // what was made after it was stored
		c.last.Store(c.kept)
	}
	host.Contain().Loop(&c.working, "motia clock", contain.Closed(c.stop), c.run, nil)
	return nil
}

// agree asks the other nodes how far their clocks have got, and goes on from there.
func (c *clock) agree() {
	answers, _ := c.host.CallAll(callClock, nil)
	for _, answer := range answers {
		theirs, _ := strconv.ParseInt(string(answer), 10, 64)
		for d, ahead := theirs-c.host.Now().UnixMicro(), c.ahead.Load(); d > ahead && !c.ahead.CompareAndSwap(ahead, d); {
			ahead = c.ahead.Load()
		}
	}
	c.agreed.Store(true)
}

// ready has the clock agree with those of other nodes before it is first relied on.
func (c *clock) ready() {
	if !c.host.Alone() && !c.agreed.Load() {
		c.agree()
	}
}

// run stores how far the clock has got, or has it agree with others, until it is stopped.
func (c *clock) run() {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.host.Alone() {
				c.store()
			} else {
				c.agree()
			}
		case <-c.stop:
			return
		}
	}
}

// store keeps how far the clock has got, if it was used.
func (c *clock) store() {
	last := c.last.Load()
	if last == c.kept {
		return
	}
	_, err := c.host.Publish(clockChannel, &broker.Publication{Op: broker.Set, Key: clockKey, Data: strconv.AppendInt(nil, last, 10)})
	if err != nil {
		c.host.Log().Error("the latest timestamp cannot be stored", "error", err.Error())
		return
	}
	c.kept = last
}

// close ends the goroutine.
func (c *clock) close() {
	close(c.stop)
	c.working.Wait()
	if c.host.Alone() {
		c.store()
	}
}

// now is the wall clock, of the node that is furthest ahead.
func (c *clock) now() int64 { return c.host.Now().UnixMicro() + c.ahead.Load() }

// next makes a timestamp, in microseconds. It may be called concurrently.
func (c *clock) next() int64 {
	now := c.now()
	for {
		last := c.last.Load()
		t := max(now, last+1)
		if c.last.CompareAndSwap(last, t) {
			return t
		}
	}
}

// appendTime appends a timestamp as milliseconds: a number that JavaScript holds exactly enough to tell two apart.
func appendTime(dst []byte, t int64) []byte {
	dst = append(strconv.AppendInt(dst, t/1000, 10), '.')
	rest := t % 1000
	return append(dst, '0'+byte(rest/100), '0'+byte(rest/10%10), '0'+byte(rest%10))
}
