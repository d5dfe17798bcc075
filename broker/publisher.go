package broker

import (
	"errors"
	"fmt"
)

// Publisher makes publications that follow each other at once, as the lines of one request do: one look at the clock
// stands for all of them, and those of one channel in a row look it up once. It belongs to one goroutine, and is
// not to be kept.
type Publisher struct {
	broker  *Broker
	now     int64
	channel *Channel // of the last one; may be dead
	owned   bool     // it publishes to what is owned here only, and waits for nobody; see SubmitOwned
}

// Publisher returns a publisher whose clock stands at now.
func (b *Broker) Publisher() Publisher { return Publisher{broker: b, now: b.now()} }

// Publish is [Broker.Publish].
func (r *Publisher) Publish(channel string, p *Publication) (Position, error) {
	receipt, err := r.submit(channel, p)
	if err == nil && receipt.Wait != nil && (p.Ack != AckMemory || receipt.Position.Epoch == "") {
		receipt.Position, err = receipt.Wait()
		r.now = r.broker.now()
	}
	if err != nil {
		return Position{}, fmt.Errorf("publish %s: %w", channel, err)
	}
	return receipt.Position, nil
}

// Submit is [Broker.Submit]. Errors: those of [Broker.Publish].
func (r *Publisher) Submit(channel string, p *Publication) (Receipt, error) {
	receipt, err := r.submit(channel, p)
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", channel, err)
	}
	if p.Ack == AckMemory && receipt.Position.Epoch != "" {
		receipt.Wait = nil
	}
	return receipt, nil
}

// SubmitOwned is [Broker.Submit] on behalf of another process, to a channel that is owned here. It waits for nobody but the store. ErrNotLoaded: another process owns the channel, or it is just being loaded.
func (b *Broker) SubmitOwned(channel string, p *Publication) (Receipt, error) {
	publisher := Publisher{broker: b, now: b.now(), owned: true}
	return publisher.Submit(channel, p)
}

func (r *Publisher) submit(channel string, p *Publication) (Receipt, error) {
	if err := p.check(); err != nil {
		return Receipt{}, err
	}
	if r.broker.config.Cluster != nil && !r.owned && r.broker.config.Cluster.Elsewhere(channel) {
		return r.broker.handOn(channel, p)
	}
	c, err := r.lock(channel)
	if err == nil && c.isReplica() {
		c.unlock()
		err = ErrNotLoaded
	}
	if err != nil {
		if errors.Is(err, ErrNotLoaded) && r.broker.config.Cluster != nil && !r.owned { // it is another one's since a moment ago
			return r.broker.handOn(channel, p)
		}
		return Receipt{}, err
	}
	receipt, err := r.publish(c, p)
	if err != nil && errors.Is(err, ErrNotLoaded) && r.broker.config.Cluster != nil && !r.owned { // the store has just lost it
		return r.broker.handOn(channel, p)
	}
	return receipt, err
}

// publish makes a publication to a channel whose lock is held, and unlocks it.
func (r *Publisher) publish(c *Channel, p *Publication) (Receipt, error) {
	defer c.unlock()
	if c.subscriber == nil {
		c.gather()
	}
	e := p.entry()
	return c.publish(r.now, &e, p)
}

// Ready reports whether a channel of the store is in memory, where it then stays for half a minute: a publication to
// one that is not has to wait until it is loaded.
func (r *Publisher) Ready(channel string) bool {
	c := r.broker.lookup(channel)
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || c.broken || c.regains() {
		return false
	}
	if c.durable != nil {
		c.touch()
	}
	r.channel = c
	return true
}

// lock returns the channel with its lock held, and makes it if there is none.
func (r *Publisher) lock(channel string) (*Channel, error) {
	if c := r.channel; c != nil && c.name == channel && !r.broker.closed.Load() {
		c.mu.Lock()
		if !c.dead && !c.broken {
			return c, nil
		}
		c.mu.Unlock()
	}
	var c *Channel
	var err error
	switch {
	case r.broker.config.Cluster == nil:
		c, err = r.broker.find(channel, true, false)
	case r.owned:
		c, err = r.broker.findLoaded(channel, true)
	default:
		c, err = r.broker.findToPublish(channel)
	}
	r.channel = c
	return c, err
}
