package relay

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/lxzan/gws"

	"weir/internal/wire"
	"weir/pool"
)

// maxBatch bounds the commands of one frame.
const maxBatch = 128

// parserEvents is what the frame parser calls. The session is found through the net.Conn that the parser
// was given.
type parserEvents struct{ gws.BuiltinEventHandler }

func sessionOf(c *gws.Conn) *session { return c.NetConn().(*socket).session }

// OnPing implements gws.Event: the pong takes its turn in the session's output.
func (parserEvents) OnPing(c *gws.Conn, payload []byte) {
	s := sessionOf(c)
	if !s.ending.Load() {
		_ = s.conn.Send(wire.AppendFrame(nil, wire.OpPong, payload)) // a client that does not read needs no pong
	}
}

// OnPong implements gws.Event.
func (parserEvents) OnPong(c *gws.Conn, _ []byte) { sessionOf(c).pinged() }

// OnClose implements gws.Event.
func (parserEvents) OnClose(c *gws.Conn, err error) {
	var ce *gws.CloseError
	k := &sessionOf(c).socket
	k.clean = !k.parked && errors.As(err, &ce) && ce.Code == wire.CloseNormal
}

// OnMessage implements gws.Event.
func (parserEvents) OnMessage(c *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }() // it gives buffers back and can not fail
	s := sessionOf(c)
	s.relay.metrics.framesIn.Inc()
	s.handle(m.Bytes(), m.Opcode == gws.OpcodeBinary)
}

// Readable implements pool.Owner: a worker reads what has come.
func (s *session) Readable() {
	if s.relay.readerPool.Submit(s.turn) != nil { // it is closed
		s.relay.contain.Go(nil, "turn", s.turn, s.turn) // ends when it has read what there is; Relay.readers waits for the session
	}
}

// turn reads and handles what has come, and then awaits more. On a connection that can not be awaited it
// goes on until that ends. An idle session so has no goroutine and no buffers: for each burst of frames
// the parser, which would hold on to both, is made anew.
func (s *session) turn() {
	defer s.relay.catch(s, s.conn.Abort)
	over, later := s.containTurn()
	switch {
	case over:
		s.finish(!s.socket.clean)
	case later:
		s.relay.contain.After(lingerPause, "linger of a session", s.Readable, s.turn) // the pool soon ends the connection, and Relay.readers waits for that
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

// read handles what has come. It answers like parse.
func (s *session) read() (parked bool) {
	if !s.conn.Awaitable() { // it would keep the buffer while it waits
		return s.parse()
	}
	switch s.quick() {
	case quiet:
		return true
	case ended:
		return false
	}
	return s.parse()
}

// parse runs the frame parser. It answers true if there is nothing more to read for now, false if the
// conversation has ended.
func (s *session) parse() (parked bool) {
	// The parser has been seen to panic on input. Whatever ends it ends this connection only.
	defer s.relay.catch(s, func() { s.cut(closing{code: wire.CloseInternal, reason: "internal error"}) })
	s.socket.parked = false
	ws, err := s.relay.newParser(s)
	if err != nil {
		panic(err) // it was shown a request that it can not refuse
	}
	ws.ReadLoop()
	return s.socket.parked
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
			return faultMany.with(fmt.Sprintf("at most %d commands in one message", maxBatch))
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
	f := faultOf(err)
	if f == faultInternal {
		s.relay.log.Error("command failed", slog.String("connection", s.id), slog.String("error", err.Error()))
	}
	s.relay.metrics.errors.of(f.code).Inc()
	return f.appendError(nil, id)
}

var _ pool.Owner = (*session)(nil)
