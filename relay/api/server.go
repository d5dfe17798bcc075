package api

import (
	"bytes"
	"errors"
	"log/slog"
	"net"

	"github.com/valyala/fasthttp"

	"weir/internal/ratelimit"
	"weir/internal/units"
	"weir/relay/httpcheck"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/native"
	"weir/relay/problem"
	"weir/relay/session"
)

// Server holds the routes of the public listener. Make it with New, register the routes of systems, then call Complete.
type Server struct {
	hub      *hub.Hub
	gate     *ingress.Gate
	sessions *session.Manager
	native   *native.Server
	quotas   *ratelimit.Users // of end users, on all their connections together

	// Set at start, before Complete.
	extra    []extraRoute
	backends []Route // of systems, for backends, before their key is asked for
	users    []Route // for end users, whom another node has checked

	route fasthttp.RequestHandler // set by Complete
}

// New makes a server with the core's routes.
func New(h *hub.Hub, gate *ingress.Gate, sessions *session.Manager, own *native.Server) *Server {
	s := &Server{hub: h, gate: gate, sessions: sessions, native: own, quotas: ratelimit.NewUsers(h.Config.Limit.Commands)}
	if h.Config.Dev {
		s.quotas = ratelimit.NewUsers(units.Rate{}) // everyone may be user u1
	}
	s.User("POST", "/command", own.HandleCommand)
	s.shareConnections()
	return s
}

// Complete ends registration: requests may be served from then on.
func (s *Server) Complete() {
	s.route = s.newRouter()
	s.answer()
}

// HTTP returns the HTTP server of the public listener. Connections that are upgraded leave it.
func (s *Server) HTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:               s.Handle,
		ErrorHandler:          s.handleBadRequest,
		Name:                  "weir",
		LazyRequestTime:       true, // nobody asks for it
		ReadBufferSize:        httpcheck.MaxHeaderBytes,
		WriteBufferSize:       8 << 10, // the answers to 100 lines, in one write
		MaxRequestBodySize:    int(s.hub.Config.Limit.Request),
		NoDefaultServerHeader: true,
		CloseOnShutdown:       true,
		Logger:                quietLogger{s.hub.Log},
		SecureErrorLogMessage: true,
	}
}

// quietLogger takes what the HTTP server has to say about bad clients: worth a look when debugging only.
// The details stay out of the log, as they quote requests, and these hold tokens.
type quietLogger struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l quietLogger) Printf(format string, _ ...any) {
	l.log.Debug("http", slog.String("message", format))
}

// Serve serves what a listener brings with the HTTP server, until it is closed. Each connection has a goroutine that
// is contained: the server's own are not.
func (s *Server) Serve(server *fasthttp.Server, in net.Listener) error {
	for {
		nc, err := in.Accept()
		if err != nil {
			return err
		}
		s.sessions.Work("HTTP connection", func() {
			if server.ServeConn(ingress.Serve(nc)) != nil { // the error quotes the request, and that may hold a token
				s.hub.Log.Debug("http", slog.String("message", "error when serving a connection"))
			}
		}, func() { _ = nc.Close() })
	}
}

// Handle takes every request of the public listener. A panic costs its request.
func (s *Server) Handle(ctx *fasthttp.RequestCtx) {
	last := false // nothing behind this request is read as the next
	defer func() {
		if v := recover(); v != nil {
			s.hub.LogPanic(v, slog.String("where", "request"), slog.String("path", string(ctx.Path())))
			s.gate.Refuse(ctx, problem.Internal)
			last = true
		}
		if last {
			ctx.SetConnectionClose() // whatever the answer has become, and wherever it was made
		}
		if !ctx.Hijacked() && !ingress.Gone(ctx) {
			s.hub.Counters.Classes[min(ctx.Response.StatusCode()/100, 5)].Inc()
		}
	}()
	g := ingress.ConnOf(ctx.Conn())
	if g != nil && !g.Serving() { // its peer has had its time, and is gone
		s.gate.Refuse(ctx, problem.BadRequest.With("the request took too long"))
		last = true
		return
	}
	var bad *problem.Error
	if last, bad = httpcheck.Request(ctx); bad != nil {
		s.gate.Refuse(ctx, bad)
		return
	}
	if Encoded(&ctx.Request) {
		s.gate.Refuse(ctx, problem.ContentEncoding)
		ctx.Response.Header.Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
		return
	}
	if s.gate.ForeignName(ctx.Host(), g) {
		// A page elsewhere whose name was made to point here would pass for our own.
		s.gate.Refuse(ctx, problem.ForeignOrigin.With("development mode on loopback accepts the hosts 127.0.0.1, ::1 and localhost only"))
		return
	}
	if string(ctx.Request.URI().PathOriginal()) == ingress.PublishPath && ctx.IsPost() { // the hot one goes past the router
		s.withKey(s.handlePublish)(ctx)
		return
	}
	s.route(ctx)
}

// handleBadRequest answers what the server could not parse. It closes the connection afterwards.
func (s *Server) handleBadRequest(ctx *fasthttp.RequestCtx, err error) {
	ingress.Unread(ctx.Conn())
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		s.gate.Refuse(ctx, problem.HeadersTooLarge)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		s.gate.Refuse(ctx, problem.TooLarge.With("the request is larger than "+s.hub.Config.Limit.Request.String()))
	default:
		s.gate.Refuse(ctx, problem.BadRequest)
	}
	s.hub.Counters.Classes[4].Inc()
}

// Encoded reports whether the body of a request is compressed, or coded otherwise.
func Encoded(req *fasthttp.Request) bool {
	for _, line := range req.Header.PeekAll("Content-Encoding") {
		if len(line) > 0 && !bytes.EqualFold(line, []byte("identity")) {
			return len(req.Body()) > 0
		}
	}
	return false
}
