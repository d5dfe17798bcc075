package native

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/retry"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/session"
)

// sseHead begins every event stream. no-transform keeps proxies from compressing, X-Accel-Buffering from
// collecting it.
const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache, no-transform\r\n" +
	"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"

// stream is what is particular to an SSE session: where it stands in each channel, told with every event
// so that Last-Event-ID resumes all of them.
type stream struct {
	// Set once.
	open *atomic.Int64 // of Server.OpenEvents, whose frames bring their ids with them; nil: of /sse

	// Guarded by mu, a leaf: channels are joined one by one while the shard's loop already delivers those that
	// are joined. The lists go together; a place without a channel is free.
	mu       sync.Mutex
	channels []string
	marks    []wire.Mark // without an epoch: not known yet
	topics   []*pool.Topic
	answers  *pool.Topic // what joins were answered: see answer
	answered uint64      // how many were
	known    []wire.Mark
	scratch  []byte
	cursor   []byte
}

// unknownEpoch is no log's: nothing can be resumed from it.
const unknownEpoch = "?"

// newStream is a stream of channels that stands where the marks of a cursor say. Marks that are empty and
// not nil are those of a cursor that cannot be read: the stream stood somewhere, nobody knows where.
func newStream(channels []string, from []wire.Mark) *stream {
	t := &stream{channels: channels, marks: make([]wire.Mark, len(channels)), topics: make([]*pool.Topic, len(channels))}
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
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.channels, channel)
	t.topics[i] = topic
	t.marks[i].Epoch, t.marks[i].Seq = at.Epoch, at.Seq
	return t.append(event[:len(event)-1])
}

// answerPlaces bounds the places of a stream's channels: below it, an answer's number says which place it is about.
const answerPlaces = 1 << 24

// Joined implements session.Protocol: it sends the event that says where a channel was joined. It goes the way of a frame: its cursor is
// made when it is written, in order with the events of the channels that are joined already, and theirs
// say nothing of it before. Called under the channel's lock, after the join, so that no later event of the
// channel overtakes it, and with s.mu held, which keeps answers in order.
func (s *speaker) Joined(channel string, topic *pool.Topic, at broker.Position, event []byte) {
	t := s.stream
	t.mu.Lock()
	i := t.place(channel)
	t.topics[i] = topic
	if t.answers == nil {
		t.answers = s.server.hub.Pool.Topic(pool.Disconnect, nil)
	}
	t.answered++
	number := t.answered * answerPlaces
	t.mu.Unlock()
	f := &pool.Frame{Last: number + uint64(i), Count: 1, Position: pool.Position{Epoch: at.Epoch, Seq: at.Seq}}
	f.Put(s.Encoding(), event[:len(event)-1]) // the cursor comes before the empty line
	s.Conn().Join(t.answers, number-1, nil, nil)
	t.answers.Deliver(f)
	s.Conn().Leave(t.answers, f.Last, nil, nil)
}

// place is where a channel stands in the lists, a new place if it is not there. The caller holds t.mu.
func (t *stream) place(channel string) int {
	i := slices.Index(t.channels, channel)
	if i < 0 {
		if i = slices.Index(t.channels[1:], "") + 1; i == 0 { // the first place is the user's own
			i = len(t.channels)
			t.channels, t.marks, t.topics = append(t.channels, ""), append(t.marks, wire.Mark{}), append(t.topics, nil)
		}
		t.channels[i], t.marks[i] = channel, wire.Mark{Channel: wire.ChannelHash(channel)}
	}
	return i
}

// forget frees the place of a channel that is not followed any more.
func (t *stream) forget(channel string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.channels, channel); i > 0 {
		t.channels[i], t.marks[i], t.topics[i] = "", wire.Mark{}, nil
	}
}

// Left implements session.Protocol.
func (s *speaker) Left(channel string) { s.stream.forget(channel) }

// Tail implements session.Protocol.
func (s *speaker) Tail(dst []byte, t *pool.Topic, f *pool.Frame) []byte {
	return s.stream.tail(dst, t, f)
}

// tail advances the stream's position in a topic and appends the cursor. The frames of answers say the
// place in their number.
func (t *stream) tail(dst []byte, topic *pool.Topic, f *pool.Frame) []byte {
	if t.open != nil {
		return dst
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.topics, topic)
	if topic == t.answers {
		i = int(f.Last % answerPlaces)
	}
	if i >= 0 {
		t.marks[i].Seq = f.Position.Seq
		if f.Position.Epoch != "" {
			t.marks[i].Epoch = f.Position.Epoch
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

// lastEvents tells the client why the stream ends and when to come back. Clients that should not come back
// by themselves are told by an event: closing the stream alone would make them.
func lastEvents(why session.Closing) []byte {
	var b []byte
	if why.Retry > 0 {
		b = append(b, "retry: "...)
		b = strconv.AppendInt(b, why.Retry.Milliseconds(), 10)
		b = append(b, '\n', '\n')
	}
	payload := append([]byte(`{"type":"closed","code":`), strconv.Itoa(why.Code)...)
	payload = wire.AppendString(append(payload, `,"reason":`...), why.Reason)
	return append(wire.AppendEvent(b, "closed", append(payload, '}')), '\n')
}

// AppendRetry appends the line that says when a client comes back whose stream has broken off: in 1 to 3 seconds.
func AppendRetry(b []byte) []byte {
	later := time.Second + retry.Jitter(2*time.Second)
	return append(strconv.AppendInt(append(b, "retry: "...), later.Milliseconds(), 10), '\n')
}

// OpenEvents starts an event stream of the relay's own protocol whose frames bring their ids with them. Greet has it follow
// its channel, with session.Session.JoinFirst. Open counts the streams that are open.
func (m *Server) OpenEvents(nc net.Conn, a *session.Handshake, open *atomic.Int64, greet func(s *session.Session) error) {
	s := m.place(nc, a, &stream{open: open})
	if s == nil {
		return
	}
	open.Add(1)
	s.ConnectEvents(nc, true)
	defer s.Catch(s.AbortOpen)
	s.Enter(func() {
		if greet(&s.Session) != nil {
			s.Conn().Reply(nil, s.FirstTurn)
			s.CloseFirst(a.Head, session.Overloaded)
		}
	})
	s.Begun()
}
