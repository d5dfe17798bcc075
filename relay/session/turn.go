package session

import (
	"log/slog"
	"time"

	"weir/internal/units"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// Readable implements pool.Owner: a worker reads what has come.
func (s *Session) Readable() {
	if s.manager.turns.Invoke(s) != nil { // it is closed
		s.manager.hub.Contain.Go(nil, "turn", s.turn, s.turn) // ends when it has read what there is; Manager.readers waits for the session
	}
}

// turn reads and handles what has come, and then awaits more. On a connection that cannot be awaited it
// goes on until that ends. An idle session so has no goroutine and no buffers.
func (s *Session) turn() {
	defer s.Catch(s.conn.Abort)
	over, later := s.containTurn()
	switch {
	case over:
		s.finish(!s.socket.Clean())
	case later:
		s.manager.hub.Contain.After(websocket.LingerPause, "linger of a session", s.Readable, s.turn) // the pool soon ends the connection, and Manager.readers waits for that
	default:
		s.conn.Await()
	}
}

// containTurn is takeTurn after which, if there was a panic, the client has gone.
func (s *Session) containTurn() (over, later bool) {
	s.reading.Lock()
	defer s.reading.Unlock()
	over = true
	defer s.Catch(s.conn.Abort)
	return s.takeTurn()
}

// takeTurn returns whether the client has gone, and if not, whether the next turn is for a little later.
func (s *Session) takeTurn() (over, later bool) {
	if !s.events && !s.lingering {
		if s.read() {
			return false, false
		}
		s.lingering = true
	}
	return s.socket.Discard(s, &s.conn)
}

// read is websocket.Reader.Read. A panic costs this connection only, and is the end of the conversation.
func (s *Session) read() bool {
	defer s.Catch(func() { s.CloseNow(InternalError) })
	return s.socket.Read(s, &s.conn)
}

// Message implements websocket.Handler. A panic costs this connection only.
func (s *Session) Message(payload []byte, binary bool) {
	defer s.Catch(func() { s.Close(InternalError) })
	s.protocol.Message(payload, binary)
}

// Ping implements websocket.Handler.
func (s *Session) Ping(payload []byte) {
	if !s.ending.Load() {
		_ = s.conn.Send(wire.AppendFrame(nil, wire.OpPong, payload)) // a client that does not read needs no pong
	}
}

// Pong implements websocket.Handler.
func (s *Session) Pong() { s.Pinged() }

// End implements websocket.Handler.
func (s *Session) End(code int, reason string) { s.Close(Closing{Code: code, Reason: reason}) }

// Ending implements websocket.Handler.
func (s *Session) Ending() bool { return s.ending.Load() }

// skippedPart is how much of a message that is passed over costs its sender as much as a command.
const skippedPart = 256 << 10

// TooLarge implements websocket.Handler: the commands of a message that was passed over are refused. It counts as a command
// for each skippedPart of it.
func (s *Session) TooLarge(ids [][]byte, size int) {
	if s.Take(time.Now(), 1+size/skippedPart, "too many commands") {
		s.protocol.TooLarge(ids, problem.TooLarge.With("a message must not exceed "+units.Size(s.protocol.Limit()).String()))
	}
}

// Take reports whether the client may send so many messages now. One that sends too many is closed, for that reason.
func (s *Session) Take(now time.Time, messages int, reason string) bool {
	if s.ending.Load() {
		return false
	}
	limit := s.manager.hub.Config.Limit.Commands
	for range messages {
		if !s.commands.Take(limit, 2*float64(limit.Count), now) {
			s.Close(Closing{Code: wire.CloseRateLimit, Reason: reason})
			return false
		}
	}
	return true
}

// Failure is the answer to a command that failed; the connection lives. It is counted, and logged if it is a fault of the relay.
func (s *Session) Failure(id []byte, err error) []byte {
	f := problem.Of(err)
	if f == problem.Internal {
		s.manager.hub.Log.Error("command failed", slog.String("connection", s.id), slog.String("error", err.Error()))
	}
	s.manager.hub.Counters.Errors.Of(f.Code).Inc()
	return f.AppendError(nil, id)
}

var (
	_ pool.Owner        = (*Session)(nil)
	_ websocket.Handler = (*Session)(nil)
)
