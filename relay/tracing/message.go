package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Message is a published message that is followed. Tracer.Begin and Tracer.Elsewhere make it.
type Message struct {
	// Set once by Begin.
	tracer  *Tracer
	channel string
	ctx     context.Context // of its span, which is the parent of the others
	span    trace.Span
	begun   time.Time

	elsewhere bool // it has come to another process

	// Guarded by the tracer's mu.
	known    bool // epoch and seq are
	epoch    string
	seq      uint64
	accepted time.Time
	stored   time.Time
	waits    bool // Stored is still to be called
	failed   error
	flushes  []*Flush // of its channel, before its position was known
	flush    *Flush   // that it is part of
	ended    bool
}

// maxFlushes bounds those that are noted while a position is not known.
const maxFlushes = 64

// Traceparent returns the W3C traceparent that names the message as the parent of what other nodes do with it.
func (m *Message) Traceparent() string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(m.ctx, carrier)
	return carrier["traceparent"]
}

// Arrived notes the position of a message that Tracer.Elsewhere has returned.
func (m *Message) Arrived(epoch string, seq uint64) {
	if m.elsewhere {
		m.Accepted(epoch, seq, false)
		return
	}
	m.tracer.mu.Lock()
	flushed := m.locate(epoch, seq)
	m.tracer.mu.Unlock()
	if flushed != nil {
		flushed.check()
	}
}

// Accepted notes the position of the message; epoch is "" if it is not known yet. If waits is true, the caller calls Stored later.
func (m *Message) Accepted(epoch string, seq uint64, waits bool) {
	t := m.tracer
	t.mu.Lock()
	m.accepted, m.waits = time.Now(), waits
	flushed := m.locate(epoch, seq)
	t.mu.Unlock()
	t.contain.After(patience, "trace of a message", m.end, nil)
	if flushed != nil {
		flushed.check()
	}
}

// Stored notes that the message is as safe as its channel promises, or the error why it is not.
func (m *Message) Stored(epoch string, seq uint64, err error) {
	if err != nil {
		m.Failed(err)
		return
	}
	m.tracer.mu.Lock()
	m.stored, m.waits = time.Now(), false
	flushed := m.locate(epoch, seq)
	m.tracer.mu.Unlock()
	if flushed != nil {
		flushed.check()
	}
}

// locate sets the position, and returns the flush that the message is part of, if there is one. Called with mu held.
func (m *Message) locate(epoch string, seq uint64) *Flush {
	if m.known || epoch == "" || m.ended {
		return m.flush
	}
	m.known, m.epoch, m.seq = true, epoch, seq
	for _, f := range m.flushes {
		if f.epoch == epoch && f.last >= seq {
			m.tracer.leave(m)
			f.take(m)
			m.flushes = nil
			return f
		}
	}
	m.flushes = nil
	return nil
}

// Failed ends the message with an error: it was not published, or it is not known whether it was stored.
func (m *Message) Failed(err error) {
	m.tracer.mu.Lock()
	m.failed = err
	m.tracer.mu.Unlock()
	m.end()
}

// end makes the spans of what is known. Calls after the first do nothing.
func (m *Message) end() {
	t := m.tracer
	t.mu.Lock()
	if m.ended {
		t.mu.Unlock()
		return
	}
	m.ended = true
	t.leave(m)
	s, failed := m.steps(), m.failed
	t.mu.Unlock()
	t.active.Add(-1)

	last := m.begun
	step := func(name string, from, to time.Time) {
		if to.IsZero() {
			return
		}
		if from.After(to) {
			from = to
		}
		_, span := t.tracer.Start(m.ctx, name, trace.WithTimestamp(from))
		span.End(trace.WithTimestamp(to))
		if to.After(last) {
			last = to
		}
	}
	step("accepted", s.Begun, s.Accepted)
	step("stored", s.Accepted, s.Stored)
	step("window", s.Accepted, s.Flushed)
	step("frame", s.Flushed, s.Built)
	step("first write", s.Built, s.First)
	step("last write", s.Built, s.Last)
	if m.known {
		m.span.SetAttributes(attribute.String("weir.position.epoch", s.Epoch), attribute.Int64("weir.position.seq", int64(s.Seq)))
	}
	if s.Messages > 0 {
		m.span.SetAttributes(attribute.Int("weir.frame.messages", s.Messages))
	}
	if failed != nil {
		m.span.SetStatus(codes.Error, failed.Error())
		last = time.Now()
	}
	m.span.End(trace.WithTimestamp(last))
}

// Steps are the times at which a message reached each step. A zero time means that it did not, or that this is not known.
type Steps struct {
	TraceID  string
	Epoch    string
	Seq      uint64
	Begun    time.Time // it came
	Accepted time.Time // it has its position
	Stored   time.Time // it is as safe as its channel promises, where that takes longer
	Flushed  time.Time // it left its window
	Built    time.Time // its frame was made
	First    time.Time // a connection was written to, or its queue
	Last     time.Time // the last one was
	Messages int       // in its frame
}

// steps is what is known. Called with mu held.
func (m *Message) steps() *Steps {
	s := &Steps{TraceID: m.span.SpanContext().TraceID().String(), Epoch: m.epoch, Seq: m.seq, Begun: m.begun, Accepted: m.accepted, Stored: m.stored}
	if f := m.flush; f != nil {
		s.Flushed, s.Built, s.First, s.Last, s.Messages = f.begun, f.built, f.first, f.written, f.messages
	}
	return s
}

// Flush is a window that is flushed while messages of its channel are followed. Tracer.Flushing makes it.
type Flush struct {
	// Set once by Flushing.
	tracer   *Tracer
	epoch    string
	last     uint64 // seq of its last message
	messages int
	begun    time.Time

	// Guarded by the tracer's mu.
	built    time.Time
	first    time.Time
	written  time.Time
	expected int // shards that were given the frame
	wrote    int // and have written it
	sent     bool
	parts    []*Message
}

// Flushing notes that a window of a channel is flushed: its messages up to the sequence number last. It returns nil if no message of the
// channel is followed.
func (t *Tracer) Flushing(channel, epoch string, last uint64, messages int) *Flush {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.under[channel]
	if len(list) == 0 {
		return nil
	}
	f := &Flush{tracer: t, epoch: epoch, last: last, messages: messages, begun: time.Now()}
	for _, m := range append([]*Message(nil), list...) {
		switch {
		case !m.known && len(m.flushes) < maxFlushes:
			m.flushes = append(m.flushes, f)
		case m.known && m.epoch == epoch && m.seq <= last:
			t.leave(m)
			f.take(m)
		}
	}
	return f
}

// take makes a message part of the flush. Called with mu held.
func (f *Flush) take(m *Message) {
	m.flush = f
	f.parts = append(f.parts, m)
}

// Built notes that the frames are made.
func (f *Flush) Built() {
	f.tracer.mu.Lock()
	defer f.tracer.mu.Unlock()
	f.built = time.Now()
}

// Wrote notes that a shard has written a frame to all its connections, and when it began and ended.
func (f *Flush) Wrote(began, ended time.Time) {
	f.tracer.mu.Lock()
	if f.first.IsZero() || began.Before(f.first) {
		f.first = began
	}
	if f.first.Before(f.built) {
		f.first = f.built
	}
	if ended.After(f.written) {
		f.written = ended
	}
	f.wrote++
	f.tracer.mu.Unlock()
	f.check()
}

// Sent notes to how many shards the frames go. When as many have called Wrote, the messages are done.
func (f *Flush) Sent(shards int) {
	f.tracer.mu.Lock()
	f.expected, f.sent = shards, true
	f.tracer.mu.Unlock()
	f.check()
}

// check ends the messages if all is known.
func (f *Flush) check() {
	f.tracer.mu.Lock()
	var parts []*Message
	if f.sent && f.wrote >= f.expected {
		for _, m := range f.parts {
			if !m.accepted.IsZero() && !m.waits {
				parts = append(parts, m)
			}
		}
	}
	f.tracer.mu.Unlock()
	for _, m := range parts {
		m.end()
	}
}
