package relay

import (
	"fmt"
	"log/slog"

	"weir/internal/wire"
	"weir/pool"
	"weir/relay/problem"
)

// maxBatch bounds the commands of one frame.
const maxBatch = 128

// Readable implements pool.Owner: a worker reads what has come.
func (s *session) Readable() {
	if s.relay.readerPool.Submit(s.turn) != nil { // it is closed
		s.relay.hub.Contain.Go(nil, "turn", s.turn, s.turn) // ends when it has read what there is; Relay.readers waits for the session
	}
}

// turn reads and handles what has come, and then awaits more. On a connection that can not be awaited it
// goes on until that ends. An idle session so has no goroutine and no buffers.
func (s *session) turn() {
	defer s.relay.catch(s, s.conn.Abort)
	over, later := s.containTurn()
	switch {
	case over:
		s.finish(!s.socket.clean)
	case later:
		s.relay.hub.Contain.After(lingerPause, "linger of a session", s.Readable, s.turn) // the pool soon ends the connection, and Relay.readers waits for that
	default:
		s.conn.Await()
	}
}

// containTurn is takeTurn after which, if there was a panic, the client has gone.
func (s *session) containTurn() (over, later bool) {
	s.reading.Lock()
	defer s.reading.Unlock()
	over = true
	defer s.relay.catch(s, s.conn.Abort)
	return s.takeTurn()
}

// takeTurn answers whether the client has gone, and if not, whether the next turn is for a little later.
func (s *session) takeTurn() (over, later bool) {
	switch {
	case s.sse != nil:
		return s.socket.discard()
	case !s.socket.lingering:
		if s.read() {
			return false, false
		}
		s.socket.lingering = true
	}
	return s.socket.discard()
}

// message handles one text message: a command or an array of them. The answers leave in one write.
func (s *session) message(b []byte) {
	b = trim(b)
	if len(b) > 0 && b[0] == '[' {
		s.messages(b)
	} else {
		s.command(b)
	}
	s.flushReplies()
}

func (s *session) messages(b []byte) {
	if err := wire.ValidJSON(b); err != nil {
		s.reply(s.failure(nil, err))
		return
	}
	n := 0
	err := wire.Elements(b, func(one []byte) error {
		if n++; n > maxBatch {
			return problem.TooMany.With(fmt.Sprintf("at most %d commands in one message", maxBatch))
		}
		s.command(one)
		return nil
	})
	if err != nil {
		s.reply(s.failure(nil, err))
	}
}

// trim removes white space from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// reply adds an answer to those that leave after this message.
func (s *session) reply(payload []byte) {
	s.out = append(wire.AppendHeader(s.out, wire.OpText, false, len(payload)), payload...)
}

func (s *session) flushReplies() {
	if len(s.out) > 0 {
		out := s.out
		s.out = nil // the connection keeps them
		s.deliver(out)
	}
}

// failure is the answer to a command that failed; the connection lives.
func (s *session) failure(id []byte, err error) []byte {
	f := problem.Of(err)
	if f == problem.Internal {
		s.relay.hub.Log.Error("command failed", slog.String("connection", s.id), slog.String("error", err.Error()))
	}
	s.relay.hub.Counters.Errors.Of(f.Code).Inc()
	return f.AppendError(nil, id)
}

var _ pool.Owner = (*session)(nil)
