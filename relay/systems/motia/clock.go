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
// if anything is, in case the wall clock is put back meanwhile.
type clock struct {
	last atomic.Int64 // microseconds; the last timestamp

	host    relay.Host
	kept    int64 // as it was last stored; owned by the goroutine, and by close after that
	stop    chan struct{}
	working sync.WaitGroup
}

// Where the clock stores how far it has got, and how often.
const (
	clockChannel = clockNamespace + ":clock"
	clockKey     = "last"
	clockEvery   = 5 * time.Second
)

// start begins behind everything that was made before.
func (c *clock) start(host relay.Host) error {
	c.host, c.stop = host, make(chan struct{})
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

// run stores how far the clock has got until it is stopped.
func (c *clock) run() {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.store()
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
		c.host.Log().Error("how far timestamps have got is not stored", "error", err.Error())
		return
	}
	c.kept = last
}

// close ends the goroutine.
func (c *clock) close() {
	close(c.stop)
	c.working.Wait()
	c.store()
}

// next makes a timestamp, in microseconds. It may be called concurrently.
func (c *clock) next() int64 {
	now := c.host.Now().UnixMicro()
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
