package hub

import (
	"slices"
	"strings"
	"sync/atomic"

	"weir/batch"
	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/problem"
	"weir/relay/tracing"
)

// Fanout carries a channel's changes to its subscribers: it is the subscriber that the broker applies changes
// to, the sink of their window, and the owner of the topics that connections join. It lives from the
// first subscriber to the last.
//
// Positions in a Fanout are ordinals: they grow with every change, like seq, but go on growing when the
// channel's log is lost and seq starts over. What orders joining and delivery (batch.Message.Seq,
// pool.Frame.Last) is the ordinal; what readers are told is seq and epoch.
type Fanout struct {
	// Set once.
	hub       *Hub
	Namespace *Namespace
	Name      string
	own       bool // a user's own channel: changes are told as "update"
	Window    *batch.Window
	Topic     *pool.Topic

	// Atomic.
	Ordinal  atomic.Uint64                 // of the last change; written under the channel's lock
	flushed  atomic.Uint64                 // seq of the last change that left the window; written by its loop
	filtered atomic.Pointer[[]*groupTopic] // topics of some groups only; grows under the channel's lock

	// Guarded by the channel's lock.
	begun  bool         // a client has joined; until then nothing is put into the window: ordinals are not those of positions yet
	growth batch.Growth // of the last append

	// Owned by the loop that flushes the window.
	base  uint64 // ordinal minus seq
	epoch string // told with the next frame
	told  []told // the batch that is being flushed, in dialects that have been needed; empty between two flushes
}

// groupTopic is the topic of subscribers who asked for a part of the channel.
type groupTopic struct {
	groups []string // sorted; none: all
	key    string   // of the one item in each of them; "": all
	topic  *pool.Topic
}

func (h *Hub) newFanout(c *broker.Channel) broker.Subscriber {
	name := c.Name()
	ns := h.Namespaces.Of(name)
	f := &Fanout{hub: h, Namespace: ns, Name: name, own: wire.Namespace(name) == wire.UserNamespace, Topic: h.Pool.Topic(ns.slow, &ns.Meter)}
	f.Window = h.BatcherOf(name).Window(ns.Batch, f)
	f.Window.CountIn(ns.held)
	if l := h.listeners[name]; l != nil {
		return &listened{Fanout: f, listener: l, stale: true}
	}
	return f
}

// Begin makes ordinals start at the position of the first subscriber. Called under the channel's lock.
func (f *Fanout) Begin(at broker.Position) {
	if !f.begun {
		f.begun, f.epoch = true, at.Epoch
		f.Ordinal.Store(at.Seq)
	}
}

// TopicOf is the topic for subscribers of some groups, all of them if groups is empty, and in these of one key, all of them if
// key is "". Called under the channel's lock.
func (f *Fanout) TopicOf(groups []string, key string) (*pool.Topic, error) {
	if len(groups) == 0 && key == "" {
		return f.Topic, nil
	}
	groups = slices.Clone(groups)
	for i, g := range groups {
		groups[i] = strings.Clone(g)
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	var known []*groupTopic
	if p := f.filtered.Load(); p != nil {
		known = *p
	}
	for _, s := range known {
		if s.key == key && slices.Equal(s.groups, groups) {
			return s.topic, nil
		}
	}
	most := MaxSelections
	if key != "" {
		most = maxItems
	}
	if len(known) >= most { // nobody joins meanwhile: that is done under the channel's lock
		known = slices.DeleteFunc(slices.Clone(known), func(s *groupTopic) bool { return s.topic.Subscribers() == 0 })
	}
	if len(known) >= most {
		return nil, problem.TooMany.With("limit reached: too many different sets of groups in this channel")
	}
	s := &groupTopic{groups, strings.Clone(key), f.hub.Pool.Topic(f.Namespace.slow, &f.Namespace.Meter)}
	more := append(slices.Clip(known), s)
	f.filtered.Store(&more)
	return s.topic, nil
}

// MaxSelections bounds the choices of groups of one channel: each is one more frame to build. maxItems bounds them together with
// items that are followed alone.
const (
	MaxSelections = 16
	maxItems      = 256
)

// Apply implements broker.Subscriber. A panic over it costs its readers their connections: they come back for the change.
func (f *Fanout) Apply(c *broker.Change) {
	if !f.begun {
		return
	}
	defer f.hub.Contain.End("change", f.Break)
	encoded := c.Encoded
	if f.own { // these name their type even inside a batch
		encoded = wire.AppendOwn(make([]byte, 0, len(encoded)+20), encoded)
	}
	m := batch.Message{Bytes: encoded, Seq: f.Ordinal.Add(1), Group: c.Group, Key: c.Key,
		Set: c.Op == broker.Set, Created: c.Created, Exclude: strings.Clone(c.Exclude)}
	if c.Op == broker.Append {
		f.growth = growthOf(c, len(encoded)-len(c.Encoded))
		m.Grows = &f.growth
	}
	f.Window.Append(m)
}

// Break implements broker.Breaker: the subscribers are closed.
func (f *Fanout) Break() { f.Missed(f.Ordinal.Add(1)) }

// Full implements broker.Limiter. What the relay itself tells of presence is not refused: it would not be
// told again, and there is no more of it than joins and leaves.
func (f *Fanout) Full() bool { return f.Namespace.Name != wire.PresenceNamespace && f.Window.Full() }

// Flush implements batch.Sink: it builds one frame for each encoding that has subscribers, by appending
// bytes, and posts it to the shards that hold them.
func (f *Fanout) Flush(b *batch.Batch) {
	f.Namespace.Counters.Conflated.Add(uint64(b.Conflated))
	defer f.forgetTold()
	if b.Exclusive {
		f.flushReset(b)
		return
	}
	if f.hub.Busiest.Watched() {
		f.hub.Busiest.Add(f.Name, b.Count, f.Topic.Subscribers())
	}
	f.flushed.Store(b.Last - f.base)
	var t *tracing.Flush
	if f.hub.Tracing.Active() {
		t = f.hub.Tracing.Flushing(f.Name, f.epoch, b.Last-f.base, b.Count)
	}
	if b.Grows {
		f.flushGrowing(b, t)
		return
	}
	frame := f.frame(f.Topic, b, cut{body: b.Body, count: b.Count})
	if b.Excludes {
		f.exclude(frame, b, nil, cut{})
	}
	shards := deliver(f.Topic, frame, t)
	if p := f.filtered.Load(); p != nil {
		for _, s := range *p {
			frame := f.frame(s.topic, b, pick(b, cut{groups: s.groups, key: s.key}))
			if b.Excludes {
				f.exclude(frame, b, nil, cut{groups: s.groups, key: s.key})
			}
			shards += deliver(s.topic, frame, t) // even an empty one: it says up to where everything has been delivered
		}
	}
	if t != nil {
		t.Sent(shards)
	}
}

// deliver delivers a frame, which is followed unless t is nil, and returns to how many shards.
func deliver(topic *pool.Topic, frame *pool.Frame, t *tracing.Flush) int {
	if t != nil {
		t.Built()
		frame.Written = t.Wrote
	}
	return topic.Deliver(frame)
}

// Flushed is the seq up to which changes have left the window.
func (f *Fanout) Flushed() uint64 { return f.flushed.Load() }

// Missed implements batch.Sink: a subscriber that lacks the batch is closed, so that none is behind without knowing.
func (f *Fanout) Missed(last uint64) {
	f.Topic.Deliver(&pool.Frame{Last: last, Missing: true})
	if p := f.filtered.Load(); p != nil {
		for _, s := range *p {
			s.topic.Deliver(&pool.Frame{Last: last, Missing: true})
		}
	}
}
