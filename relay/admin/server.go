package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"weir/relay/api"
	"weir/relay/httpcheck"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/session"
)

// Server serves the admin listener. Make it with New, register the routes of systems, then call Complete and Serve.
type Server struct {
	hub      *hub.Hub
	gate     *ingress.Gate
	sessions *session.Manager
	api      *api.Server

	// Set at start, before Complete.
	routes  []api.Route // of systems
	systems []string    // names, in the order of their start

	// Set by Complete.
	route    fasthttp.RequestHandler
	recorder *recorder // an hour of figures, for the dashboard
	started  time.Time

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // open ones that Close has to close; nil: closed
	served sync.WaitGroup        // their goroutines
}

// New makes a server with the routes that need no system, and adds to the metrics what is counted elsewhere.
func New(h *hub.Hub, gate *ingress.Gate, sessions *session.Manager, public *api.Server) *Server {
	s := &Server{hub: h, gate: gate, sessions: sessions, api: public, conns: make(map[net.Conn]struct{})}
	h.Counters.Set.RegisterMetricsWriter(s.writeTotals)
	return s
}

// Handle serves a route. At start. Path as in github.com/fasthttp/router.
func (s *Server) Handle(method, path string, h fasthttp.RequestHandler) {
	s.routes = append(s.routes, api.Route{Method: method, Path: path, Handle: h})
}

// Complete ends registration: requests may be served from then on. systems are the names of those that started.
func (s *Server) Complete(systems []string) {
	s.systems, s.started = systems, time.Now()
	s.recorder = newRecorder(s)
	s.share()
	s.shareImport()
	s.route = s.newRouter()
}

// Record keeps an hour of figures, until ctx is done.
func (s *Server) Record(ctx context.Context) { s.recorder.run(ctx) }

// newRouter knows the routes of the admin listener. Nothing of them is reachable on the public one but the API of backends.
func (s *Server) newRouter() fasthttp.RequestHandler {
	t := api.NewRouter(s.gate, func(ctx *fasthttp.RequestCtx) { s.gate.Refuse(ctx, problem.NotFound) })
	get := func(path string, h fasthttp.RequestHandler) { t.Add(fasthttp.MethodGet, path, h) }
	get("/metrics", func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
		ctx.SetBody(expose(s.hub.Counters.Set))
	})
	get("/healthz", func(ctx *fasthttp.RequestCtx) { text(ctx, fasthttp.StatusOK, "alive\n") })
	get("/readyz", s.handleReady)
	get("/debug/pprof/{name:*}", fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Index))
	get("/debug/pprof/cmdline", fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Cmdline))
	get("/debug/pprof/profile", fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Profile))
	get("/debug/pprof/symbol", fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Symbol))
	t.Add(fasthttp.MethodPost, "/debug/pprof/symbol", fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Symbol))
	get("/debug/pprof/trace", fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Trace))
	get("/", s.handlePage)
	get("/dashboard/{name}", s.handleAsset)
	get("/figures", s.handleFigures)
	get("/followers", s.handleFollowers)
	get("/trace", s.handleTrace)
	t.Add(fasthttp.MethodPost, "/why", s.handleWhy)
	t.Add(fasthttp.MethodPost, "/traffic", s.handleTraffic)
	get("/cluster", s.handleCluster)
	t.Add(fasthttp.MethodPost, "/cluster/move", s.handleMove)
	t.Add(fasthttp.MethodPost, "/cluster/import", s.handleImport)
	get("/cluster/export", s.handleExport)
	for _, list := range [][]api.Route{s.api.Backends(), s.routes} {
		for _, x := range list {
			t.Add(x.Method, x.Path, x.Handle)
		}
	}
	return t.Handler
}

// handle takes every request. A panic costs its request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.hub.Contain.End("admin request", func() {
		s.gate.Refuse(ctx, problem.Internal)
		ctx.SetConnectionClose()
	})
	last, bad := httpcheck.Request(ctx)
	if bad == nil {
		bad = s.admit(ctx)
	}
	if bad == nil && api.Encoded(&ctx.Request) {
		bad = problem.ContentEncoding
	}
	if bad != nil {
		s.gate.Refuse(ctx, bad)
		switch bad.Status {
		case fasthttp.StatusUnauthorized:
			ctx.Response.Header.Set("WWW-Authenticate", `Basic realm="weir admin", charset="UTF-8"`)
		case problem.ContentEncoding.Status:
			ctx.Response.Header.Set("Accept-Encoding", "identity")
		}
	} else {
		s.route(ctx)
	}
	if last {
		ctx.SetConnectionClose()
	}
}

// Serve serves what a listener brings, until it is closed: it then returns net.ErrClosed. Each connection has a goroutine
// that is contained; Close ends them.
func (s *Server) Serve(ln net.Listener) error {
	server := s.api.HTTP()
	server.Handler = s.handle
	server.MaxRequestBodySize = max(server.MaxRequestBodySize, importBody)
	server.ReadTimeout = s.gate.Timeouts.Request
	server.IdleTimeout = time.Minute
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		if !s.add(nc) {
			_ = nc.Close()
			return net.ErrClosed
		}
		s.hub.Contain.Go(&s.served, "admin connection", func() {
			defer s.remove(nc)
			if err := server.ServeConn(ingress.Serve(nc)); err != nil && !errors.Is(err, io.EOF) {
				s.hub.Log.Debug("http", slog.String("message", "error when serving an admin connection"))
			}
		}, func() { _ = nc.Close() })
	}
}

// add notes an open connection. It returns false after Close.
func (s *Server) add(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns != nil {
		s.conns[nc] = struct{}{}
	}
	return s.conns != nil
}

// remove forgets a connection, which has ended or is a session's.
func (s *Server) remove(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
}

// Close closes the connections at once, whatever is asked on them, and waits for their goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	for nc := range s.conns {
		_ = nc.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.served.Wait()
}

// text answers with a line.
func text(ctx *fasthttp.RequestCtx, status int, line string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(line)
}
