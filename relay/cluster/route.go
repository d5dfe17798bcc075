package cluster

import (
	"errors"
	"slices"
	"time"

	"weir/broker"
	"weir/relay/cluster/forward"
	"weir/relay/cluster/link"
)

// parkedBytes is how much may wait for an owner; beyond, it is refused.
const parkedBytes = 64 << 20

// route is what is under way to the owner of a partition, and what waits for one. Guarded by Cluster.mu.
type route struct {
	to     string     // session that has not answered all that it was sent
	open   int        // requests that it has not answered
	parked []*request // in the order of their ids: what came later waits behind
	local  bool       // a goroutine makes them here
}

// request sends what is to be answered to the owner of a partition, or has it wait until the partition has one: it is just moving, or has just been taken
// over. What waits keeps its order, and nothing overtakes it. q says what it is; f writes about so many bytes.
func (c *Cluster) request(p int, q *request, bytes int, f func(w *link.Writer)) (*request, error) {
	w := make(link.Writer, 0, bytes)
	f(&w)
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.owners[p].Load()
	moving := o != nil && o.Session == c.session && (!o.open || c.kept.Behind(p))
	if o == nil || !moving && !c.alive(o.Session, time.Now()) || c.cut() || c.parked > parkedBytes {
		return nil, ErrNoOwner
	}
	c.number++
	q.id, q.partition, q.record, q.until = c.number, p, w, time.Now().Add(answerLimit)
	q.Begin()
	c.park(q)
	c.flush(p)
	return q, nil
}

func (c *Cluster) park(q *request) {
	r := c.routes[q.partition]
	if r == nil {
		r = &route{}
		c.routes[q.partition] = r
	}
	at, _ := slices.BinarySearchFunc(r.parked, q.id, func(q *request, id uint64) int { return int(int64(q.id - id)) })
	r.parked = slices.Insert(r.parked, at, q)
	c.parked += len(q.record)
}

// flush sends what is parked for a partition, if it has an owner that can be reached and the one before has answered all. Called with mu held.
func (c *Cluster) flush(p int) {
	r, o := c.routes[p], c.owners[p].Load()
	if r == nil || len(r.parked) == 0 || o == nil || r.open > 0 && r.to != o.Session {
		return
	}
	if o.Session == c.session {
		if o.open && !c.cut() && !r.local {
			r.local = true
			c.config.Panic.Go(&c.done, "parked", func() { c.here(p) }, func() { c.hereEnded(p) }) // ends when nothing is parked; Close waits for it
		}
		return
	}
	m := c.members[o.Session]
	if m == nil || r.local || !c.alive(o.Session, time.Now()) {
		return
	}
	for _, q := range r.parked {
		c.parked -= len(q.record)
		if q.foreign { // its process may be the owner by now, and wait for the answer before it makes anything
			q.Err = ErrNoOwner
			q.Finish()
			continue
		}
		q.to = o.Session
		r.to = o.Session
		r.open++
		c.waiting[q.id] = q
		m.link.Append(q.kind, func(w *link.Writer) {
			w.Uint(q.id)
			*w = append(*w, q.record...)
		})
	}
	r.parked = nil
}

// here makes what is parked for a partition that this process owns by now.
func (c *Cluster) here(p int) {
	for {
		c.mu.Lock()
		r, o := c.routes[p], c.owners[p].Load()
		if len(r.parked) == 0 || o == nil || o.Session != c.session || !o.open {
			r.local = false
			c.flush(p) // it may have moved on
			c.mu.Unlock()
			return
		}
		q := r.parked[0]
		r.parked = r.parked[1:]
		c.parked -= len(q.record)
		c.mu.Unlock()
		c.makeHere(q)
	}
}

func (c *Cluster) hereEnded(p int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.routes[p].local = false
}

func (c *Cluster) makeHere(q *request) {
	in := &link.Reader{Rest: q.record}
	if q.kind == link.Call { // these have no order
		c.calls.Work(in, c.await, func(body []byte, err error) {
			c.mu.Lock()
			again := errors.Is(err, ErrNoOwner) && c.again(q)
			if again {
				c.flush(q.partition)
			}
			c.mu.Unlock()
			if !again { // otherwise it is somebody else's by now
				q.Body, q.Err = body, err
				q.Finish()
			}
		})
		return
	}
	q.Err = forward.ErrMaybe // of a panic
	defer q.Finish()
	channel, publication := in.Text(), in.Publication()
	if q.Err = c.kept.Served(channel, q.until); q.Err != nil {
		return
	}
	var receipt broker.Receipt
	receipt, q.Err = c.broker.Submit(channel, &publication)
	if q.Err == nil && receipt.Wait != nil { // it has moved on just now, or is to be safe
		receipt.Position, q.Err = receipt.Settle()
	}
	q.At = receipt.Position
}

// settle takes a request out of what is under way. Called with mu held.
func (c *Cluster) settle(q *request) {
	delete(c.waiting, q.id)
	if r := c.routes[q.partition]; q.record != nil && r != nil && r.to == q.to && r.open > 0 {
		if r.open--; r.open == 0 {
			c.flush(q.partition)
		}
	}
}

// again has a request that was not made, or may be made twice, wait for the owner of its partition once more. It reports whether there is time for that.
// Called with mu held.
func (c *Cluster) again(q *request) bool {
	if q.record == nil || time.Now().After(q.until) || c.context.Err() != nil {
		return false
	}
	c.park(q)
	return true
}

// unanswered takes out what a process was asked of a partition, or of anything (-1), and will not answer. What may be made twice waits for the owner once
// more; the rest is returned, to be finished without the lock. Called with mu held.
func (c *Cluster) unanswered(session string, partition int) (failed []*request) {
	for id, q := range c.waiting {
		if q.to == session && (partition < 0 || q.record != nil && q.partition == partition) {
			delete(c.waiting, id)
			q.maybe = true
			if !q.safe || !c.again(q) {
				q.Err = forward.ErrMaybe
				failed = append(failed, q)
			}
		}
	}
	for p, r := range c.routes {
		if r.to == session && (partition < 0 || p == partition) {
			r.open = 0
			c.flush(p)
		}
	}
	return failed
}

// comes reports whether a partition is about to be served here, or still makes what has waited for that: what is for it waits, too. Called with mu held.
func (c *Cluster) comes(p int) bool {
	o, r := c.owners[p].Load(), c.routes[p]
	return o != nil && o.Session == c.session && (!o.open || r != nil && (r.local || len(r.parked) > 0))
}

// overdue takes out what was parked for too long. Called with mu held.
func (c *Cluster) overdue(now time.Time) (late []*request) {
	for p, r := range c.routes {
		r.parked = slices.DeleteFunc(r.parked, func(q *request) bool {
			if now.Before(q.until) {
				return false
			}
			c.parked -= len(q.record)
			q.Err = ErrNoOwner
			if q.maybe {
				q.Err = forward.ErrMaybe
			}
			late = append(late, q)
			return true
		})
		if len(r.parked) == 0 && r.open == 0 && !r.local {
			delete(c.routes, p)
			continue
		}
		c.flush(p)
	}
	return late
}
