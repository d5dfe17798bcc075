package hub

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"weir/batch"
	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/problem"
	"weir/relay/tracing"
)

// The encodings of a frame. In the first ones, what a batch of one channel holds leaves out what its envelope says:
// for clients that asked for that short form. In those that begin with whole, every message names its type and its
// channel, so that a client may take it for what it is, wherever it stands.
const (
	WS        pool.Encoding = iota // WebSocket
	DeflateWS                      // WebSocket with permessage-deflate
	SSE                            // server-sent events
	CustomSSE                      // server-sent events as a system tells them; see EventStream
	WholeWS                        // the first three once more
	WholeDeflateWS
	WholeSSE
	ChunkedSSE   // eventOwn, a chunk of an HTTP body for each frame (RFC 9112, section 7.1)
	firstDialect // of the first Dialect, and behind it its form with permessage-deflate; then those of the others
)

// WholeOf is the whole form of one of the first three encodings, and shortOf the way back.
func WholeOf(enc pool.Encoding) pool.Encoding { return enc + WholeWS }
func shortOf(enc pool.Encoding) pool.Encoding { return enc - WholeWS }

func isWhole(enc pool.Encoding) bool { return enc >= WholeWS && enc <= WholeSSE }

// Deflates reports whether an encoding compresses.
func Deflates(enc pool.Encoding) bool {
	return enc == DeflateWS || enc == WholeDeflateWS || enc >= firstDialect && (enc-firstDialect)%2 == 1
}

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
	begun  bool
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
		f.begun = true
		f.Ordinal.Store(at.Seq)
		f.epoch = at.Epoch
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
		most = MaxItems
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

// MaxSelections bounds the choices of groups of one channel: each is one more frame to build. MaxItems bounds them together with
// items that are followed alone.
const (
	MaxSelections = 16
	MaxItems      = 256
)

// Apply implements broker.Subscriber. A panic over it costs its readers their connections: they come back for the change.
func (f *Fanout) Apply(c *broker.Change) {
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

// Reset implements broker.Subscriber: the log was lost. What the readers are told takes the same path as the
// changes before and after it.
func (f *Fanout) Reset(r broker.Reply) {
	mark := ""
	if r.Forked {
		mark = forkedMark // what comes before is not in the short form, and goes its way
	} else {
		f.Window.Clear()
	}
	f.Window.Append(batch.Message{Bytes: ResyncMessage(f.Name, r), Seq: f.Ordinal.Add(1), Exclusive: true,
		Group: r.Position.Epoch + " " + strconv.FormatUint(r.Position.Seq, 10) + mark})
	f.Window.Expedite()
}

// forkedMark marks the message of a log that goes on in another epoch, with nothing lost.
const forkedMark = " forked"

// forkMessage is ResyncMessage for a log that goes on in another epoch, with nothing lost, for clients that have said that they know of it.
func forkMessage(channel string, at broker.Position) []byte {
	b := append([]byte(`{"type":"resync","channel":"`), channel...)
	b = wire.AppendPosition(append(b, `","position":`...), at.Epoch, at.Seq)
	return append(b, `,"recovered":true,"changes":[],"lost":false}`...)
}

// ResyncMessage is the message that brings a reader the present state of a channel.
func ResyncMessage(channel string, r broker.Reply) []byte {
	b := append([]byte(`{"type":"resync","channel":"`), channel...)
	b = append(b, `","position":`...)
	b = wire.AppendPosition(b, r.Position.Epoch, r.Position.Seq)
	b = append(b, `,"state":`...)
	b = append(b, r.State...)
	return append(strconv.AppendBool(append(b, `,"lost":`...), r.Lost), '}')
}

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

// emptyFrame is a frame for count messages of a batch.
func (f *Fanout) emptyFrame(b *batch.Batch, count int) *pool.Frame {
	return &pool.Frame{Last: b.Last, Count: int32(count), Since: b.Since, Position: pool.Position{Epoch: f.epoch, Seq: b.Last - f.base}}
}

// frame encodes messages of a batch for the subscribers of a topic.
func (f *Fanout) frame(t *pool.Topic, b *batch.Batch, c cut) *pool.Frame {
	frame := f.emptyFrame(b, c.count)
	if c.count == 0 {
		return frame
	}
	for enc := range f.hub.endOfDialects() {
		if t.Takers(enc) > 0 {
			f.put(frame, enc, b, &c)
		}
	}
	return frame
}

// put encodes messages of a batch into a frame.
func (f *Fanout) put(frame *pool.Frame, enc pool.Encoding, b *batch.Batch, c *cut) {
	switch {
	case enc >= firstDialect:
		frame.Put(enc, f.tell(enc, b).of(b, c))
	case isWhole(enc) && f.wholeAnyway(c.count) && frame.Of(shortOf(enc)) != nil:
		frame.Put(enc, frame.Of(shortOf(enc)))
	default:
		frame.Put(enc, f.encode(enc, b, c))
	}
}

// wholeAnyway says that the short form of so many messages is the whole one.
func (f *Fanout) wholeAnyway(count int) bool { return f.own || count == 1 }

// encode puts messages of a batch into the envelope of their channel and that into a frame.
func (f *Fanout) encode(enc pool.Encoding, b *batch.Batch, c *cut) []byte {
	body, count := c.body, c.count
	switch {
	case enc == CustomSSE:
		return f.Namespace.Events.Append(nil, f.Name, f.epoch, body)
	case enc == ChunkedSSE:
		return Chunk(f.Namespace.Events.Append(nil, f.Name, f.epoch, body))
	case isWhole(enc) && f.wholeAnyway(count):
		enc = shortOf(enc)
	case isWhole(enc):
		return f.encodeWhole(enc, b, c)
	}
	size := f.payloadSize(body, count)
	if enc == WS { // the hot path: one allocation, one copy
		b := make([]byte, 0, wire.MaxHeader+size)
		return f.appendPayload(wire.AppendHeader(b, wire.OpText, false, size), body, count)
	}
	return EncodePayload(enc, f.event(count), f.appendPayload(make([]byte, 0, size), body, count))
}

// encodeWhole is encode for several messages of a batch, each of which says all about itself.
func (f *Fanout) encodeWhole(enc pool.Encoding, b *batch.Batch, c *cut) []byte {
	size := f.payloadSize(c.body, c.count) + c.count*(len(`"type":"channel_update","channel":"",`)+len(f.Name))
	p := append(append(make([]byte, 0, size), `{"type":"batch","channel":"`...), f.Name...)
	p = append(p, `","messages":[`...)
	begin := len(p)
	c.each(b, func(e batch.Entry) {
		if len(p) > begin {
			p = append(p, ',')
		}
		p = wire.AppendUpdate(p, f.Name, e.Bytes)
	})
	return EncodePayload(enc, "batch", append(p, wire.CloseBatch...))
}

// payloadSize is the length of what appendPayload appends.
func (f *Fanout) payloadSize(body []byte, count int) int {
	switch {
	case f.own && count == 1:
		return len(body)
	case f.own:
		return len(wire.OpenBatch) + len(body) + len(wire.CloseBatch)
	case count == 1:
		return len(`{"type":"channel_update","channel":"",`) + len(f.Name) + len(body) - 1
	default:
		return len(`{"type":"batch","channel":"","messages":[]}`) + len(f.Name) + len(body)
	}
}

func (f *Fanout) appendPayload(dst, body []byte, count int) []byte {
	switch {
	case f.own && count == 1:
		return append(dst, body...)
	case f.own:
		return append(append(append(dst, wire.OpenBatch...), body...), wire.CloseBatch...)
	case count == 1:
		return wire.AppendUpdate(dst, f.Name, body)
	default:
		return wire.AppendBatch(dst, f.Name, body)
	}
}

// event is the SSE type of a frame.
func (f *Fanout) event(count int) string {
	switch {
	case count > 1:
		return "batch"
	case f.own:
		return "update"
	default:
		return "channel_update"
	}
}

// flushReset tells every subscriber that the log was lost. The batch is the message of Reset.
func (f *Fanout) flushReset(b *batch.Batch) {
	var seq uint64
	forked := false
	b.Each(func(e batch.Entry) {
		e.Group, forked = strings.CutSuffix(e.Group, forkedMark)
		epoch, at, _ := strings.Cut(e.Group, " ") // as Reset has put it
		f.epoch = epoch
		seq, _ = strconv.ParseUint(at, 10, 64)
	})
	f.base = b.Last - seq // where the log goes on; below zero it wraps around, and back where it is taken away
	topics := []*pool.Topic{f.Topic}
	if p := f.filtered.Load(); p != nil {
		for _, s := range *p {
			topics = append(topics, s.topic)
		}
	}
	for _, t := range topics {
		// Answers that were made before the log was lost come before what tells of that. They wait for changes
		// that Reset has dropped.
		t.Deliver(&pool.Frame{Last: b.Last - 1})
		frame := &pool.Frame{Last: b.Last, Count: 1, Position: pool.Position{Epoch: f.epoch, Seq: seq}}
		if forked {
			frame.Alternate, frame.Feature = &pool.Frame{Count: 1}, pool.Forks
			brief := forkMessage(f.Name, broker.Position{Epoch: f.epoch, Seq: seq})
			for _, enc := range []pool.Encoding{WS, DeflateWS, WholeWS, WholeDeflateWS} {
				frame.Alternate.Put(enc, EncodePayload(enc, "resync", brief))
			}
		}
		for enc := firstDialect; enc < f.hub.endOfDialects(); enc++ {
			if t.Takers(enc) > 0 {
				frame.Put(enc, f.hub.dialectOf(enc).lost(enc, f.Name, b.Body))
			}
		}
		for enc := range firstDialect {
			if t.Takers(enc) == 0 {
				continue
			}
			p := EncodePayload(enc, "resync", b.Body)
			if enc == CustomSSE || enc == ChunkedSSE {
				p = AppendMark(p, f.Name, broker.Position{Epoch: f.epoch, Seq: seq})
			}
			if enc == ChunkedSSE {
				p = Chunk(p)
			}
			frame.Put(enc, p)
		}
		t.Deliver(frame) // not to those who joined after the log was lost: they stand beyond it
	}
}
