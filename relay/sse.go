package relay

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
)

// heartbeat is a comment: clients ignore it, proxies see traffic.
var heartbeat = []byte(":heartbeat\n\n")

// sseHead begins every event stream. no-transform keeps proxies from compressing, X-Accel-Buffering from
// collecting it.
const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache, no-transform\r\n" +
	"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"

// stream is what is particular to an SSE session: where it stands in each channel, told with every event
// so that Last-Event-ID resumes all of them.
type stream struct {
	channels []string // set once

	// Guarded by mu, a leaf: the opener joins the channels one by one while the shard's loop already
	// delivers those that are joined.
	mu      sync.Mutex
	marks   []wire.Mark // by channel; without an epoch: not known yet
	joining []bool      // by channel: its answer has not been sent yet
	topics  []*pool.Topic
	known   []wire.Mark
	scratch []byte
	cursor  []byte
}

// unknownEpoch is no log's: nothing can be resumed from it.
const unknownEpoch = "?"

// newStream is a stream of channels that stands where the marks of a cursor say. Marks that are empty and
// not nil are those of a cursor that can not be read: the stream stood somewhere, nobody knows where.
func newStream(channels []string, from []wire.Mark) *stream {
	t := &stream{channels: channels, marks: make([]wire.Mark, len(channels)),
		joining: make([]bool, len(channels)), topics: make([]*pool.Topic, len(channels))}
	for i, name := range channels {
		t.marks[i].Channel = wire.ChannelHash(name)
		if from != nil && len(from) == 0 {
			t.marks[i].Epoch = unknownEpoch
		}
		for _, m := range from {
			if m.Channel == t.marks[i].Channel {
				t.marks[i] = m
			}
		}
	}
	return t
}

// from is where the stream stands in its i-th channel; nil if it does not know.
func (t *stream) from(i int) *broker.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.marks[i].Epoch == "" {
		return nil
	}
	return &broker.Position{Epoch: t.marks[i].Epoch, Seq: t.marks[i].Seq}
}

// stand enters the position at which the first channel was joined, and puts the cursor into the event
// that says so, in front of its last empty line.
func (t *stream) stand(channel string, topic *pool.Topic, at broker.Position, event []byte) []byte {
	event, sent := t.join(channel, topic, at, event)
	sent()
	return event
}

// join is stand for a channel that is joined while events of others are on their way: those must not tell
// of its position before the event that says so has been sent, which is when sent is to be called.
func (t *stream) join(channel string, topic *pool.Topic, at broker.Position, event []byte) (answer []byte, sent func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.channels, channel)
	t.topics[i], t.joining[i] = topic, true
	before := t.marks[i]
	t.marks[i].Epoch, t.marks[i].Seq = at.Epoch, at.Seq
	answer = t.append(event[:len(event)-1])
	t.marks[i] = before
	return answer, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.joining[i] { // no event of the channel itself has come after it in the same write
			t.joining[i] = false
			t.marks[i].Epoch, t.marks[i].Seq = at.Epoch, at.Seq
		}
	}
}

// tail advances the stream's position in a topic and appends the cursor.
func (t *stream) tail(dst []byte, topic *pool.Topic, f *pool.Frame) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.topics, topic); i >= 0 {
		t.joining[i] = false
		t.marks[i].Seq = f.Place.Seq
		if f.Place.Epoch != "" {
			t.marks[i].Epoch = f.Place.Epoch
		}
	}
	return t.append(dst)
}

// append appends the cursor. The caller holds t.mu.
func (t *stream) append(dst []byte) []byte {
	t.known = t.known[:0]
	for _, m := range t.marks {
		if m.Epoch != "" {
			t.known = append(t.known, m)
		}
	}
	t.cursor, t.scratch = wire.AppendCursor(t.cursor[:0], t.scratch, t.known)
	return wire.AppendEventID(dst, t.cursor)
}

// farewell tells the client why the stream ends and when to come back. Clients that should not come back
// by themselves are told by an event: closing the stream alone would make them.
func (t *stream) farewell(why closing) []byte {
	var b []byte
	if why.retry > 0 {
		b = append(b, "retry: "...)
		b = strconv.AppendInt(b, why.retry.Milliseconds(), 10)
		b = append(b, '\n', '\n')
	}
	payload := append([]byte(`{"type":"closed","code":`), strconv.Itoa(why.code)...)
	payload = wire.AppendString(append(payload, `,"reason":`...), why.reason)
	return append(wire.AppendEvent(b, "closed", append(payload, '}')), '\n')
}

// jitter is a time between half of d and d and a half.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}
