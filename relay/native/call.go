package native

import (
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Caller carries out calls of clients.
type Caller interface {
	// Call returns the result of a method, which is JSON on one line. Data is what the client sends with it; nil: nothing. Errors
	// are told as they are. It may take seconds, and waits for nothing but the result.
	Call(id *auth.Identity, connection, method string, data []byte) ([]byte, error)
}

// UseCaller has c carry out the calls of clients. At start; by one system.
func (m *Server) UseCaller(c Caller) { m.caller = c }

// maxMethod bounds the name of a method, in bytes.
const maxMethod = 128

// callCommand is the command: a question of the client to the backend, which is answered with its result.
func (s *speaker) callCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if s.server.caller == nil {
		return nil, problem.UnknownType.With("no backend is configured for calls: set hooks.url or hooks.call.url")
	}
	if len(c.Method) > maxMethod || !wire.ValidName(c.Method) {
		return nil, problem.BadField.With("method must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	}
	id, err := s.IdentityNow()
	if err != nil {
		return nil, err
	}
	if how != hub.WaitForAll {
		return nil, hub.ErrUndecided
	}
	connection := s.ID()
	if s.Conn() == nil { // of a request
		connection = ""
	}
	result, err := s.server.caller.Call(id, connection, c.Method, c.Data)
	if err != nil {
		return nil, err
	}
	return answer("result", c.ID, append([]byte(`,"data":`), result...)), nil
}
