package session

import (
	"slices"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Connector identifies clients that bring no token, and vouches for them. Its methods may be called concurrently.
type Connector interface {
	// Connect identifies the client of a request, whose Origin, if it has one, is allowed. It returns neither an identity nor an
	// error if it has nothing to say about such requests. It may take seconds, and waits for nothing but the identity.
	Connect(ctx *fasthttp.RequestCtx) (*auth.Identity, *problem.Error)

	// Stands reports whether an identity that Connect returned still stands. It is called once the session can be found by its user.
	Stands(id *auth.Identity) bool

	// Resume returns what lets the client of a connection come back without being identified anew; "" if nothing does.
	Resume(connection string, id *auth.Identity) string

	// Refresh is called when the time to ask again about a client has come. What comes of it is told by Manager.Renew. It must
	// not block.
	Refresh(connection string, id *auth.Identity)

	// Dismiss drops what is remembered of a user, or what lets a connection come back if user is "".
	Dismiss(user, connection string)
}

// UseConnector has c identify clients without a token. At start; by one system.
func (m *Manager) UseConnector(c Connector) { m.connector = c }

// Renew gives a session that was vouched for its new identity: before is the one that it replaces. If id is nil the session is
// closed, 4001. Nothing happens if the session has ended, or has another identity meanwhile.
func (m *Manager) Renew(connection string, before, id *auth.Identity) {
	s := m.sessions.byID(connection)
	if s == nil {
		return
	}
	if id == nil || id.User != s.user {
		if s.identity.Load() == before {
			s.close(closing{code: wire.CloseUnauthorized, reason: "no longer signed in"})
		}
		return
	}
	switch {
	case !s.identity.CompareAndSwap(before, id):
	case id.Vouched.By == before.Vouched.By: // nothing but the time of the next question is new
		s.schedule()
	default:
		s.renewed(id)
	}
}

// renewed makes a new identity count.
func (s *Session) renewed(id *auth.Identity) {
	s.schedule()
	s.reviewAll()
	s.renamed(id)
}

// VouchedFor lists the connections of a user that a connector vouches for, with their identities.
func (m *Manager) VouchedFor(user string) map[string]*auth.Identity {
	out := make(map[string]*auth.Identity)
	for _, s := range m.sessions.byUser(user) {
		if id := s.identity.Load(); id.Vouched != nil {
			out[s.id] = id
		}
	}
	return out
}

// first is the channels that a WebSocket follows from the start: those that its address names, and those that its connector says.
func (a *Handshake) first() []namedChannel {
	list := a.named
	for _, channel := range a.Identity.Follows() {
		if !slices.ContainsFunc(list, func(n namedChannel) bool { return n.channel == channel }) {
			list = append(list, namedChannel{channel: channel})
		}
	}
	return list
}

// confirm closes a session whose identity was taken back while it began.
func (m *Manager) confirm(s *Session) {
	if id := s.identity.Load(); id.Vouched != nil && m.connector != nil && !m.connector.Stands(id) {
		s.close(closing{code: wire.CloseUnauthorized, reason: "no longer signed in"})
	}
}

// appendVouched appends what a connector has to tell the client: data, and what lets it come back.
func (s *Session) appendVouched(b []byte) []byte {
	id := s.identity.Load()
	if id.Vouched == nil {
		return b
	}
	if id.Vouched.Data != nil {
		b = append(append(b, `,"data":`...), id.Vouched.Data...)
	}
	if resume := s.manager.connector.Resume(s.id, id); resume != "" {
		b = wire.AppendString(append(b, `,"resume":`...), resume)
	}
	return b
}

// Caller carries out calls of clients.
type Caller interface {
	// Call returns the result of a method, which is JSON on one line. Data is what the client sends with it; nil: nothing. Errors
	// are told as they are. It may take seconds, and waits for nothing but the result.
	Call(id *auth.Identity, connection, method string, data []byte) ([]byte, error)
}

// UseCaller has c carry out the calls of clients. At start; by one system.
func (m *Manager) UseCaller(c Caller) { m.caller = c }

// maxMethod bounds the name of a method, in bytes.
const maxMethod = 128

// callCommand is the command: a question of the client to the backend, which is answered with its result.
func (s *Session) callCommand(c *wire.Command, how hub.Wait) ([]byte, error) {
	if s.manager.caller == nil {
		return nil, problem.UnknownType.With("no backend is configured for calls: set hooks.url or hooks.call.url")
	}
	if len(c.Method) > maxMethod || !wire.ValidName(c.Method) {
		return nil, problem.BadField.With("method must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	}
	id, err := s.identityNow()
	if err != nil {
		return nil, err
	}
	if how != hub.WaitForAll {
		return nil, hub.ErrUndecided
	}
	connection := s.id
	if s.conn == nil { // of a request
		connection = ""
	}
	result, err := s.manager.caller.Call(id, connection, c.Method, c.Data)
	if err != nil {
		return nil, err
	}
	return Answer("result", c.ID, append([]byte(`,"data":`), result...)), nil
}
