package ingress

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"

	"github.com/valyala/fasthttp"

	"weir/internal/contain"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
)

// Gate is the way in: it accepts the connections of the public listener, within their bounds, serves what backends send
// most on event loops, and leads everything else to the HTTP server.
type Gate struct {
	// Set once by New.
	hub     *hub.Hub
	keys    *auth.Keys
	proxies []netip.Prefix
	tls     *certificate // nil: without TLS
	local   bool         // development mode on loopback: keys are published, so that only names of this machine are served

	Handler fasthttp.RequestHandler // of the HTTP server; set before Start. nil: nothing but publications is served at event loops

	Fast []FastRoute // set before Start

	// Tests set these before Start.
	Timeouts   Timeouts
	MaxPending int // publications that wait for the disk at one event loop

	Addresses addresses
	refusals  refusals
	listener  *listener

	// Set once by Start.
	acceptor *acceptor // nil: the HTTP server takes connections from the listener
}

// New makes the way in to a hub. Errors are about the configuration.
func New(h *hub.Hub, keys *auth.Keys) (*Gate, error) {
	limit, bound := h.Config.ConnectionLimit()
	g := &Gate{hub: h, keys: keys, Timeouts: DefaultTimeouts(), MaxPending: maxLoopPending, local: h.Config.DevLocal()}
	g.listener = &listener{gate: g, limit: int64(limit), bound: bound, closed: make(chan struct{})}
	g.listener.end = func(fd int) { g.listener.closeUpgraded(fd, false, netip.Addr{}) }
	var err error
	if g.proxies, err = parseNetworks(h.Config.TrustedProxies); err != nil {
		return nil, err
	}
	if h.Config.TLS.Cert != "" {
		if g.tls, err = newCertificate(h.Config.TLS, h.Log); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Start begins to accept from ln, which Stop closes. What is returned brings the connections that the HTTP server is to
// serve. The goroutines that look after connections and certificate end with ctx and are counted by chores; that which
// accepts ends with Stop and is counted by servers: ending reports whether that has begun, failed takes the error if it
// breaks before. Start is called once.
func (g *Gate) Start(ctx context.Context, ln net.Listener, chores, servers *sync.WaitGroup, ending func() bool, failed func(error)) net.Listener {
	g.listener.Listener = ln
	kept := contain.Done(ctx)
	g.hub.Contain.Loop(chores, "idle reaper", kept, func() { g.listener.reaper.watch(ctx, g.Timeouts, g.hub.Contain) }, nil)
	if g.tls != nil {
		g.hub.Contain.Loop(chores, "certificate watch", kept, func() { g.tls.watch(ctx, g.Timeouts.Reload) }, nil)
		return tls.NewListener(g.listener, g.tls.config())
	}
	if g.acceptor = newAcceptor(g, g.listener); g.acceptor == nil {
		return g.listener
	}
	g.listener.raw(ln)
	g.hub.Contain.Loop(servers, "acceptor", ending, func() { failed(g.acceptor.run()) }, g.acceptor.end)
	return g.acceptor.handoff
}

// Stop ends accepting. It returns when what has come at the event loops is answered. The listener that Start returned is
// to be closed by its user.
func (g *Gate) Stop() {
	_ = g.listener.Close() // its accept loop then ends
	if g.acceptor != nil {
		g.acceptor.wait()
		_ = g.acceptor.handoff.Close() // the server, which closes it too, may not have begun to serve
	}
}

// Open is the number of connections on the public listener, sessions and requests alike.
func (g *Gate) Open() int64 { return g.listener.open.Load() }

// Trouble is why the gate can take no more connections; "" if it can.
func (g *Gate) Trouble() string {
	switch {
	case g.listener.exhausted.Load():
		return "out of file descriptors"
	case g.Open() < g.listener.limit:
		return ""
	case g.listener.bound == config.ByDescriptors:
		return "nearly out of file descriptors"
	}
	return "at the connection limit"
}
