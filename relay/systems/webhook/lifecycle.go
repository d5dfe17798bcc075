package webhook

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/contain"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/session"
	"weir/relay/systems/internal/encode"
)

// The topics of what the relay itself has to tell. An endpoint gets them if it names them, or "connection.*" and so on: "*" is
// for the events that somebody emits, of which there are fewer.
const (
	topicOpened   = "connection.opened"
	topicClosed   = "connection.closed"
	topicOccupied = "channel.occupied"
	topicVacated  = "channel.vacated"
	topicJoined   = "member.joined"
	topicLeft     = "member.left"
)

var lifecycleTopics = []string{topicOpened, topicClosed, topicOccupied, topicVacated, topicJoined, topicLeft}

// wantsLifecycle reports whether an endpoint gets a topic of these about a channel, "" if it is about none.
func (w *Webhook) wantsLifecycle(topic, channel string) bool {
	if channel != "" && len(w.Namespaces) > 0 && !slices.Contains(w.Namespaces, namespaceOf(channel)) {
		return false
	}
	return slices.ContainsFunc(w.Topics, func(pattern string) bool { return pattern != "*" && config.MatchTopic(pattern, topic) })
}

// namespaceOf is a channel's namespace as the configuration names it.
func namespaceOf(channel string) string {
	if ns := wire.Namespace(channel); ns != "" {
		return ns
	}
	return config.DefaultNamespace
}

const (
	// vacantAfter is how long a channel is empty before that is told: somebody who comes back is no news.
	vacantAfter = 3 * time.Second

	// maxLifecycle bounds the events that are on their way to the endpoints' queues. Beyond it they are dropped, and counted.
	maxLifecycle = 1 << 16
)

// lifecycle tells the endpoints of connections, channels and members. What the relay reports is noted under a lock; a goroutine
// turns it into events.
type lifecycle struct {
	// Set once by newLifecycle.
	system  *System
	wanted  map[string]bool // topics that some endpoint wants
	dropped *metrics.Counter
	wake    chan struct{} // holds one value if something has been queued; never closed
	cancel  context.CancelFunc
	work    sync.WaitGroup

	// Guarded by nearMu, which is taken before the locks of a cluster. Of several nodes only.
	nearMu sync.Mutex
	near   map[string]followers // channels that are followed on this node

	// Guarded by mu, a leaf. Of several nodes it is of the channels that this one owns.
	mu      sync.Mutex
	queue   []lifecycleEvent
	readers map[string]int          // of channels that have some, or had until lately; of several nodes 1, if there are any
	vacant  map[string]time.Time    // when it is told of a channel that it is empty
	line    []vacancy               // the same in order of time; those that are over are not in vacant, or with another time
	members map[membership]struct{} // of whom it was told that they have joined; nil if nobody wants to know when they leave
}

// followers is who follows a channel on this node.
type followers struct {
	readers int
	since   time.Time
}

// membership is a user in a channel.
type membership struct{ channel, user string }

// vacancy is a channel that has become empty.
type vacancy struct {
	channel string
	at      time.Time
}

// lifecycleEvent is one on its way.
type lifecycleEvent struct {
	topic, channel, key, user string
	data                      []byte
}

// newLifecycle begins to hear of what the endpoints want to know; nil if that is nothing.
func newLifecycle(s *System, host relay.Host, list []Webhook) *lifecycle {
	l := &lifecycle{system: s, wanted: make(map[string]bool), wake: make(chan struct{}, 1), readers: make(map[string]int), vacant: make(map[string]time.Time)}
	for _, topic := range lifecycleTopics {
		if slices.ContainsFunc(list, func(w Webhook) bool { return w.wantsLifecycle(topic, "") }) {
			l.wanted[topic] = true
		}
	}
	l.dropped = host.Metrics().NewCounter("weir_webhook_dropped_total")
	if len(l.wanted) == 0 {
		return nil
	}
	if s.nodes {
		l.near = make(map[string]followers)
		host.Share(shareFollowed, l)
	}
	host.Observe(l.observer())
	if l.wanted[topicJoined] || l.wanted[topicLeft] {
		host.OnMember(l.member)
	}
	if l.wanted[topicLeft] {
		l.members = make(map[membership]struct{})
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	host.Contain().Loop(&l.work, "lifecycle", contain.Done(ctx), func() { l.run(ctx) }, nil) // ended by stop
	return l
}

// stop ends the goroutine, after what was reported has been queued, and tells that nobody is there any more: what was about to be told,
// of empty channels and of users who might have come back, would not be told otherwise. A client that comes back after a restart is news.
func (l *lifecycle) stop() {
	if l == nil {
		return
	}
	l.cancel()
	l.work.Wait()
	last := l.system.alone()
	l.mu.Lock()
	if last { // otherwise another node tells
		for m := range l.members {
			l.put(memberEvent(topicLeft, m))
		}
		for channel := range l.readers { // sessions have ended
			l.put(channelEvent(topicVacated, channel))
		}
	}
	clear(l.members)
	clear(l.readers)
	clear(l.vacant)
	l.line = nil
	l.mu.Unlock()
	l.pass(time.Now())
}

func (l *lifecycle) observer() (o session.Observer) {
	if l.wanted[topicOpened] {
		o.Opened = func(c session.Connection) { l.add(connectionEvent(topicOpened, c)) }
	}
	if l.wanted[topicClosed] {
		o.Closed = func(c session.Connection, code int, reason string) {
			l.add(connectionEvent(topicClosed, c, "code", code, "reason", reason, "seconds", time.Since(c.Since).Round(time.Millisecond).Seconds()))
		}
	}
	if l.wanted[topicOccupied] || l.wanted[topicVacated] {
		o.Followed = l.followed
	}
	return o
}

func connectionEvent(topic string, c session.Connection, more ...any) lifecycleEvent {
	data := encode.Members(nil, append([]any{"connectionId", c.ID, "userId", c.User, "transport", c.Transport}, more...)...)
	return lifecycleEvent{topic: topic, key: c.ID, user: c.User, data: append(data, '}')}
}

// member notes that a user is in a channel, or no longer.
func (l *lifecycle) member(channel, user string, joined bool) {
	m := membership{strings.Clone(channel), strings.Clone(user)}
	l.mu.Lock()
	defer l.mu.Unlock()
	topic := topicLeft
	if joined {
		topic = topicJoined
	}
	if l.members != nil {
		if joined {
			l.members[m] = struct{}{}
		} else {
			delete(l.members, m)
		}
	}
	l.put(memberEvent(topic, m))
}

func memberEvent(topic string, m membership) lifecycleEvent {
	return lifecycleEvent{topic: topic, channel: m.channel, key: m.channel, user: m.user, data: encode.Object("channel", m.channel, "userId", m.user)}
}

// followed counts those who follow a channel. Presence channels are the relay's own.
func (l *lifecycle) followed(channel string, begun bool) {
	if wire.Namespace(channel) == wire.PresenceNamespace {
		return
	}
	if l.near != nil {
		l.follows(strings.Clone(channel), begun)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := l.readers[channel]; {
	case begun && n == 0:
		l.filled(strings.Clone(channel), false)
	case begun:
		l.readers[channel] = n + 1
	case n == 1:
		l.emptied(strings.Clone(channel))
	default:
		l.readers[channel] = n - 1
	}
}

// filled notes that somebody follows a channel, who is news unless it is known or somebody has left it just now. The caller holds mu.
func (l *lifecycle) filled(channel string, known bool) {
	l.readers[channel] = 1
	if _, back := l.vacant[channel]; back {
		delete(l.vacant, channel)
		return
	}
	if !known {
		l.put(channelEvent(topicOccupied, channel))
	}
}

// emptied notes that nobody follows a channel any more, which is told a while later. The caller holds mu.
func (l *lifecycle) emptied(channel string) {
	v := vacancy{channel, time.Now().Add(vacantAfter)}
	l.readers[channel] = 0
	l.vacant[v.channel] = v.at
	l.line = append(l.line, v)
	l.signal()
}

func channelEvent(topic, channel string) lifecycleEvent {
	return lifecycleEvent{topic: topic, channel: channel, key: channel, data: encode.Object("channel", channel)}
}

func (l *lifecycle) add(e lifecycleEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(e)
}

// put queues an event. The caller holds mu.
func (l *lifecycle) put(e lifecycleEvent) {
	switch {
	case !l.wanted[e.topic]:
		return
	case len(l.queue) == maxLifecycle:
		l.dropped.Inc()
		return
	}
	l.queue = append(l.queue, e)
	l.signal()
}

func (l *lifecycle) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lifecycle) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if next := l.pass(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// pass hands what is queued to the endpoints, and returns when there is something about an empty channel to tell; zero: there
// is nothing.
func (l *lifecycle) pass(now time.Time) (next time.Time) {
	l.mu.Lock()
	for len(l.line) > 0 {
		v := l.line[0]
		if l.vacant[v.channel].Equal(v.at) {
			if v.at.After(now) {
				next = v.at
				break
			}
			delete(l.vacant, v.channel)
			delete(l.readers, v.channel)
			l.put(channelEvent(topicVacated, v.channel))
		}
		l.line = l.line[1:]
	}
	list := l.queue
	l.queue = nil
	l.mu.Unlock()
	for i := range list {
		l.system.tell(&list[i])
	}
	return next
}

// tell queues an event for the endpoints that want it.
func (s *System) tell(e *lifecycleEvent) {
	for _, p := range s.endpoints {
		if p.config.wantsLifecycle(e.topic, e.channel) {
			p.counters.accepted.Inc()
			p.accept(newEvent(&hub.Event{Topic: e.topic, Key: e.key, User: e.user, Data: e.data}, s.host.Now()))
		}
	}
}
