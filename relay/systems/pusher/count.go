package pusher

import (
	"time"
	"weir/relay/systems/pusher/protocol"
)

// tellCount is count for who holds no lock. On several nodes the owner of the channel does it.
func (ch *channel) tellCount() {
	if !ch.app.shared {
		ch.countNow()
	} else if ch.app.settings.Load().Feature.Counts && !ch.kind.Presence && !ch.kind.User {
		_, _ = ch.app.look(inquiry{Name: ch.name, Count: true}) // the next count is told in any case
	}
}

func (ch *channel) countNow() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.count()
}

// count tells subscribers and webhooks how many subscribers there are, where the app wants that: at once, but for crowds only now and
// then. The caller holds mu.
func (ch *channel) count() {
	n := ch.app.settings.Load()
	if !n.Feature.Counts || ch.kind.Presence || ch.kind.User || ch.dead {
		return
	}
	if wait := countEvery - time.Since(ch.counted); ch.sockets > crowd && wait > 0 {
		switch {
		case ch.due:
		case ch.counting == nil:
			ch.counting, ch.due = ch.app.after(wait, "pusher count", ch.countLater), true
		default:
			ch.counting.Reset(wait)
			ch.due = true
		}
		return
	}
	ch.counted = time.Now()
	text := itoa(ch.sockets)
	if ch.sockets > 0 {
		_ = ch.send("pusher_internal:subscription_count", []byte(`{"subscription_count":`+text+`}`))
	}
	ch.app.tell("subscription_count", ch.name, []byte(`,"subscription_count":`+text))
}

// countLater tells the count that is due.
func (ch *channel) countLater() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.due = false
	ch.count()
}

// occupied is the channels whose names begin so and that somebody is subscribed to.
func (a *app) occupied(prefix string) (list []*channel) {
	a.mu.RLock()
	channels := a.channels
	if a.shared {
		channels = a.merged
	}
	all := make([]*channel, 0, len(channels))
	for _, ch := range channels {
		if len(ch.name) >= len(prefix) && ch.name[:len(prefix)] == prefix {
			all = append(all, ch)
		}
	}
	a.mu.RUnlock()
	for _, ch := range all {
		if n, _ := ch.counts(); n > 0 {
			list = append(list, ch)
		}
	}
	return list
}

// find is a channel; nil if nothing is known of it.
func (a *app) find(name string) *channel {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.channels[protocol.ChannelOf(a.namespace, name)]
}

// counts is how many subscribers and members there are. It may be called on nil.
func (ch *channel) counts() (sockets, users int) {
	if ch == nil {
		return 0, 0
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.sockets, ch.shown()
}

// shown is how many members there are. The caller holds mu.
func (ch *channel) shown() (n int) {
	for _, m := range ch.members {
		if m.shown {
			n++
		}
	}
	return n
}
