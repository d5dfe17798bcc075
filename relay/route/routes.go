package route

import (
	"io"
	"sync"

	"weir/relay/cluster/tunnel"
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
	tunnels  *tunnel.Tunnels       // nil: there are no other nodes
	paths    map[string]*WebSocket // routes with a Key or some of whose clients call Forward, by path; set at start

	forwarded sync.Map // *Client with messages that other nodes handle, by connection
}

// New makes what serves the routes of systems to the clients of a hub.
func New(h *hub.Hub, gate *ingress.Gate, sessions *session.Manager, own *native.Server) *Routes {
	r := &Routes{hub: h, gate: gate, sessions: sessions, native: own, paths: make(map[string]*WebSocket)}
	if h.Cluster != nil {
		r.tunnels = tunnel.New(h.Cluster, r.accept, h.Contain, &h.Workers)
		h.Answer(tunnel.CallOpen, r.tunnels.Open)
		h.Answer(tunnel.CallTake, r.tunnels.Take)
		h.Answer(callRefresh, r.refresh)
		h.Counters.Set.RegisterMetricsWriter(func(w io.Writer) { r.tunnels.Stats().Write(w) })
		sessions.OnRefresh(r.renewed)
	}
	return r
}

// Close ends what is handled for clients of other nodes, who come back.
func (r *Routes) Close() {
	if r.tunnels != nil {
		r.tunnels.Close()
	}
}
