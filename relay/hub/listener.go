package hub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/pause"
)

// Listener hears of a channel within this process, whichever node owns it. Fill and Apply are called with the channel's lock held: they must
// not block, or call the broker or the cluster.
type Listener interface {
	// Fill is called first, with all there is of the channel, and again when part of its log was lost: what was heard before need not be
	// in it.
	Fill(k *broker.Kept)

	// Filled is called after Fill, without a lock.
	Filled()

	// Apply is called with every change after what Fill was called with. The struct is valid during the call only.
	Apply(c *broker.Change)
}

// listener keeps a Listener joined to its channel.
type listener struct {
	// Set once.
	hub     *Hub
	channel string
	to      Listener
	wake    chan struct{} // of capacity 1: holds a value if there is to be joined, or filled, again

	// Atomic.
	gone   atomic.Bool // the channel that was joined was given up
	joined atomic.Bool // it counts as a reader of its channel
}

// retryJoin is after which time a channel that has no owner is looked for again.
const retryJoin = 100 * time.Millisecond

// Listen has a Listener hear of a channel from when all systems have started until stop is called. At start; one for each channel.
func (h *Hub) Listen(channel string, to Listener) (stop func()) {
	l := &listener{hub: h, channel: channel, to: to, wake: make(chan struct{}, 1)}
	if h.listeners == nil {
		h.listeners = make(map[string]*listener)
	}
	h.listeners[channel] = l
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	h.Contain.Loop(&done, "listener", contain.Done(ctx), func() { l.run(ctx) }, nil) // ended by stop
	return func() {
		cancel()
		done.Wait()
	}
}

// run joins the channel, and does so again whenever that is needed.
func (l *listener) run(ctx context.Context) {
	var joined *broker.Channel
	defer func() {
		l.joined.Store(false)
		if joined != nil {
			joined.Leave()
		}
	}()
	select {
	case <-ctx.Done():
	case <-l.hub.Started: // all that listen are known
	}
	for ctx.Err() == nil {
		if l.gone.Swap(false) {
			joined = nil
		}
		l.joined.Store(joined != nil)
		ch, err := l.hub.Broker.Join(l.channel, broker.JoinRequest{Again: joined != nil, Whole: true}, func(s broker.Subscriber, r broker.Reply) {
			if x, ok := s.(*listened); ok {
				x.stale = false
				l.to.Fill(r.Whole)
			}
		})
		switch {
		case err == nil:
			joined = ch
			l.joined.Store(true)
			l.to.Filled()
		case errors.Is(err, broker.ErrNotJoined):
			joined = nil
			continue
		default: // it has no owner that is reached
			_ = pause.For(ctx, retryJoin)
			continue
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
	}
}

// again has the channel joined, or filled, again.
func (l *listener) again() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Listens reports whether somebody within this process hears of a channel: one of its readers is no client.
func (h *Hub) Listens(channel string) bool {
	l := h.listeners[channel]
	return l != nil && l.joined.Load()
}

// listened is the Fanout of a channel that somebody within this process listens to.
type listened struct {
	*Fanout
	listener *listener

	// Guarded by the channel's lock.
	stale bool // what comes is of no use before the listener is filled
}

// FanoutOf is the Fanout that a subscriber of the broker is.
func FanoutOf(s broker.Subscriber) *Fanout {
	if l, ok := s.(*listened); ok {
		return l.Fanout
	}
	return s.(*Fanout)
}

// Apply implements broker.Subscriber.
func (l *listened) Apply(c *broker.Change) {
	if !l.stale && !l.hub.Contain.Do("change for a listener", func() { l.listener.to.Apply(c) }) {
		l.stale = true // it is filled again
		l.listener.again()
	}
	l.Fanout.Apply(c)
}

// Reset implements broker.Subscriber.
func (l *listened) Reset(r broker.Reply) {
	if !r.Forked {
		l.stale = true
		l.listener.again()
	}
	l.Fanout.Reset(r)
}

// Break implements broker.Breaker.
func (l *listened) Break() {
	l.listener.gone.Store(true)
	l.listener.again()
	l.Fanout.Break()
}
