package route

import (
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/native"
	"weir/relay/session"
)

// Routes serves the routes of systems.
type Routes struct {
	hub      *hub.Hub
	gate     *ingress.Gate
	sessions *session.Manager
	native   *native.Server
}

// New makes what serves the routes of systems to the clients of a hub.
func New(h *hub.Hub, gate *ingress.Gate, sessions *session.Manager, own *native.Server) *Routes {
	return &Routes{h, gate, sessions, own}
}
