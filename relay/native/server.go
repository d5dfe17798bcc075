package native

import (
	"net"

	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/session"
	"weir/relay/websocket"
)

// Server serves the relay's own protocol.
type Server struct {
	hub      *hub.Hub
	gate     *ingress.Gate
	sessions *session.Manager
	rules    *websocket.Rules // of /ws

	caller Caller // carries out calls; nil: nobody does. Set at start
}

// New makes what serves the relay's own protocol to the clients of a hub.
func New(h *hub.Hub, gate *ingress.Gate, sessions *session.Manager) *Server {
	return &Server{hub: h, gate: gate, sessions: sessions, rules: sessions.Rules(int(h.Config.Limit.Message))}
}

// opening is the request of a client that was let in, and what it is to follow.
type opening struct {
	session.Handshake
	server  *Server
	events  bool                     // an event stream, and not a WebSocket
	named   []namedChannel           // WebSocket: what the address names, to be followed from the start
	few     [2]namedChannel          // of most, all of those
	request session.SubscribeRequest // for one of them after the other
	buf     [firstWrite]byte         // where Head begins

	// Event streams.
	channels    []string
	decisions   []hub.Decision // about each of channels
	denied      []denial       // channels that were asked for and may not be followed
	marks       []wire.Mark    // of Last-Event-ID
	revocations uint64         // how many there were before it was decided about the channels
}

// Begin implements session.Opener.
func (a *opening) Begin(nc net.Conn, rest []byte, _ *session.Handshake) {
	if a.events {
		a.server.openSSE(nc, a)
	} else {
		a.server.openWS(nc, rest, a)
	}
}
