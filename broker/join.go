package broker

import "fmt"

// Reply is what a reader needs to know of a channel to follow it from Position on.
type Reply struct {
	Position  Position
	Recovered bool
	Changes   []byte // if Recovered: a JSON array of the changes after the given position, in order
	State     []byte // otherwise: a JSON object {"group":{"key":data}} of the live items, in the order in which they came into being; shared, not to be changed
	Lost      bool   // a position was given, and send changes after it may have been missed
	Forked    bool   // of Subscriber.Reset: only the epoch is another one, nothing else has changed
	Whole     *Kept  // all that there is, for a request with Whole; it shares memory that does not change any more
}

// JoinRequest is how a reader wants to start.
type JoinRequest struct {
	From   *Position // where it stands; nil: it knows nothing yet
	Groups []string  // only changes and items of these groups; none: all. A send without a group is in none
	Key    string    // only changes and items of this key, in Groups or in any group; "": all
	// Appends says that the reader knows appends. To others the last one of an item is told as a set of all of its text, and those before it are
	// left out.
	Appends bool
	Again   bool // it is joined already and is not counted again
	Whole   bool // all that there is of the channel is asked for, its log included
	Loaded  bool // only if neither another process nor the store has to be waited for: ErrNotLoaded otherwise
}

// Join attaches a reader to a channel, which is made if there is none. It calls join with the subscriber and the reply
// in the critical section that reads them: every change after reply.Position goes to the subscriber after that call.
// The function must not block or call the broker. The subscriber is nil if the configuration has none.
//
// Errors: ErrTooManyChannels, ErrClosed, ErrNotLoaded for a request with Loaded, and ErrNotJoined for a request with Again if no reader is joined.
func (b *Broker) Join(channel string, request JoinRequest, join func(s Subscriber, r Reply)) (*Channel, error) {
	now := b.now()
	var c *Channel
	var err error
	if request.Loaded {
		c, err = b.findLoaded(channel, false)
	} else {
		c, err = b.find(channel, true, false)
	}
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", channel, err)
	}
	defer c.unlock()
	if request.Again && c.readers == 0 {
		return nil, fmt.Errorf("join %s: %w", channel, ErrNotJoined)
	}
	if !request.Again {
		c.gather()
		if c.subscriber == nil && b.config.Subscriber != nil {
			c.subscriber = b.config.Subscriber(c)
		}
		c.readers++
	}
	joined := request.Again
	defer func() {
		if !joined { // there was a panic
			c.left()
		}
	}()
	if join != nil {
		reply := c.reply(now, request.From, part{request.Groups, request.Key, request.Appends})
		if request.Whole {
			reply.Whole = new(c.export(now))
		}
		join(c.subscriber, reply)
	}
	joined = true
	return c, nil
}

// Vacant returns where a channel that is not in memory would begin; false if it is.
func (b *Broker) Vacant(channel string) (Position, bool) {
	s, slot := b.locate(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, there := s.channels[channel]
	return Position{Epoch: b.epoch(s, slot)}, !there
}

// Gather makes a channel, if there is none, and has those join that wait for it. Errors: ErrTooManyChannels, ErrClosed.
func (b *Broker) Gather(channel string) error {
	c, err := b.find(channel, true, false)
	if err != nil {
		return fmt.Errorf("gather %s: %w", channel, err)
	}
	defer c.unlock()
	c.gather()
	return nil
}

// gather has those join that have waited for the channel. What they were told holds: nothing has been in the log of its name since, or they would
// have joined then. Called with the lock held.
func (c *Channel) gather() {
	awaiting := c.shard.broker.config.Awaiting
	if !c.policy.Awaited || c.subscriber != nil || awaiting == nil || c.durable != nil {
		return
	}
	s, readers, epoch := awaiting(c, c.seq)
	if readers == 0 {
		return
	}
	c.subscriber, c.readers = s, c.readers+int32(readers)
	if c.seq == 0 {
		c.epoch = epoch
	}
}

// Leave takes a reader away. The last one takes the subscriber with it, and lets a channel that keeps
// nothing be freed. It also works after Close.
func (c *Channel) Leave() {
	c.mu.Lock()
	defer c.unlock()
	if c.readers > 0 {
		c.left()
	}
}

// left takes a reader away. Called with the lock held.
func (c *Channel) left() {
	c.readers--
	if c.readers == 0 {
		c.subscriber = nil
	}
}

// Read returns a snapshot without joining; false if there is no such channel.
func (b *Broker) Read(channel string, groups []string) (Reply, bool) {
	c := b.lock(channel)
	if c == nil {
		return Reply{}, false
	}
	defer c.unlock()
	return Reply{Position: c.position(), State: c.state(part{groups: groups})}, true
}

// reply returns what a reader needs that stands at from. Called with the lock held.
func (c *Channel) reply(now int64, from *Position, p part) Reply {
	r := Reply{Position: c.position()}
	if from != nil {
		c.trim(now)
		if changes, ok := c.since(*from, p); ok {
			r.Recovered, r.Changes = true, changes
			return r
		}
		r.Lost = true
	}
	r.State = c.state(p)
	return r
}

// lost is the reply to readers whose log was dropped.
func (c *Channel) lost() Reply {
	return Reply{Position: c.position(), State: c.state(part{}), Lost: true}
}
