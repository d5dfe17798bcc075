package broker

import "fmt"

// Run is publications that follow each other at once, as the lines of one request do: one look at the clock
// stands for all of them, and those of one channel in a row look it up once. It belongs to one goroutine, and is
// not to be kept.
type Run struct {
	broker  *Broker
	now     int64
	channel *Channel // of the last one; may be dead
}

// Run begins a run.
func (b *Broker) Run() Run { return Run{broker: b, now: b.now()} }

// Publish is [Broker.Publish].
func (r *Run) Publish(channel string, p *Publication) (Position, error) {
	ticket, err := r.submit(channel, p)
	if err == nil && ticket.Wait != nil && p.Ack != AckMemory {
		ticket.Position, err = ticket.Wait()
		r.now = r.broker.now()
	}
	if err != nil {
		return Position{}, fmt.Errorf("publish %s: %w", channel, err)
	}
	return ticket.Position, nil
}

// Submit is [Broker.Submit].
func (r *Run) Submit(channel string, p *Publication) (Ticket, error) {
	ticket, err := r.submit(channel, p)
	if err != nil {
		return Ticket{}, fmt.Errorf("publish %s: %w", channel, err)
	}
	if p.Ack == AckMemory {
		ticket.Wait = nil
	}
	return ticket, nil
}

func (r *Run) submit(channel string, p *Publication) (Ticket, error) {
	if err := p.check(); err != nil {
		return Ticket{}, err
	}
	c, err := r.lock(channel)
	if err != nil {
		return Ticket{}, err
	}
	defer c.unlock()
	e := p.entry()
	return c.publish(r.now, &e)
}

// Ready says whether a channel of the store is in memory, where it then stays for half a minute: a publication to
// one that is not has to wait until it is loaded.
func (r *Run) Ready(channel string) bool {
	c := r.broker.lookup(channel)
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || c.broken {
		return false
	}
	if c.durable != nil {
		c.touch()
	}
	r.channel = c
	return true
}

// lock is lockOrMake.
func (r *Run) lock(channel string) (*Channel, error) {
	if c := r.channel; c != nil && c.name == channel && !r.broker.closed.Load() {
		c.mu.Lock()
		if !c.dead && !c.broken {
			return c, nil
		}
		c.mu.Unlock()
	}
	c, err := r.broker.lockOrMake(channel)
	r.channel = c
	return c, err
}
