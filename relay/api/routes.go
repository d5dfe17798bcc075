package api

import (
	"slices"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/web"
)

// Route is a route of an HTTP listener. Path as in github.com/fasthttp/router: "/chat/rooms/{id}".
type Route struct {
	Method, Path string
	Handle       fasthttp.RequestHandler
}

// extraRoute is a route that a system or another part registered.
type extraRoute struct {
	Route
	pages bool // pages ask it too, so that browsers may want to know first whether they may
}

// UserHandler handles a request of an end user. An error that it returns is answered as a problem; see package problem.
type UserHandler func(ctx *fasthttp.RequestCtx, id *auth.Identity) error

// User serves a route to end users with a token, as often as limits.commands lets each of them. Pages of the
// configured origins may use it; where a cookie says who asks, requests that may change something come from such a page
// only. Preflights are answered here. At start.
func (s *Server) User(method, path string, h UserHandler) {
	s.extra = append(s.extra, extraRoute{Route{method, path, s.withToken(h)}, true})
	s.users = append(s.users, Route{method, path, func(ctx *fasthttp.RequestCtx) {
		f := forwardedBy(ctx)
		if f.Identity == nil {
			s.gate.Refuse(ctx, problem.Unauthorized)
			return
		}
		if err := h(ctx, f.Identity); err != nil {
			s.fail(ctx, err)
		}
	}})
}

// Backend serves a route to backends with an API key, and on the admin listener. At start.
func (s *Server) Backend(method, path string, h func(ctx *fasthttp.RequestCtx) error) {
	handle := func(ctx *fasthttp.RequestCtx) {
		if err := h(ctx); err != nil {
			s.fail(ctx, err)
		}
	}
	s.extra = append(s.extra, extraRoute{Route{method, path, s.withKey(handle)}, false})
	s.backends = append(s.backends, Route{method, path, handle})
}

// Raw serves a route to anybody; the handler does all the checking. Preflights of pages are answered here if pages is
// set. At start.
func (s *Server) Raw(method, path string, pages bool, h fasthttp.RequestHandler) {
	s.extra = append(s.extra, extraRoute{Route{method, path, h}, pages})
}

// Backends returns the routes of backends without the check of their key, for a listener that checks otherwise.
func (s *Server) Backends() []Route { return slices.Concat(s.apiRoutes(), s.backends) }

// Router returns a router. Paths that it does not know, and methods that a path does not have, get problems. GET serves HEAD too.
type Router struct{ *router.Router }

// NewRouter makes a router without routes.
func NewRouter(gate *ingress.Gate, notFound fasthttp.RequestHandler) Router {
	t := router.New()
	t.RedirectTrailingSlash = false
	t.RedirectFixedPath = false
	t.HandleOPTIONS = false
	t.NotFound = notFound
	t.MethodNotAllowed = func(ctx *fasthttp.RequestCtx) {
		allow := string(ctx.Response.Header.Peek("Allow"))
		gate.Refuse(ctx, problem.MethodNotAllowed)
		ctx.Response.Header.Set("Allow", allow)
	}
	return Router{t}
}

// Add adds a route.
func (t Router) Add(method, path string, h fasthttp.RequestHandler) {
	t.Handle(method, path, h)
	if method == fasthttp.MethodGet { // the server leaves the body out
		t.Handle(fasthttp.MethodHead, path, h)
	}
}

// newRouter knows the routes of the public listener.
func (s *Server) newRouter() fasthttp.RequestHandler {
	t := NewRouter(s.gate, s.notFound)
	get := func(path string, h fasthttp.RequestHandler) { t.Add(fasthttp.MethodGet, path, h) }
	get("/ws", s.native.HandleWS)
	get("/sse", s.native.HandleSSE)
	page := s.hub.Config.Dev || s.hub.Config.Page
	sockets := slices.IndexFunc(s.extra, func(x extraRoute) bool { return x.Method == fasthttp.MethodGet && x.Path == "/" })
	if page {
		get("/", func(ctx *fasthttp.RequestCtx) {
			if sockets >= 0 && len(ctx.Request.Header.Peek("Upgrade")) > 0 { // a system's, beside the page
				s.extra[sockets].Handle(ctx)
				return
			}
			s.handlePage(ctx)
		})
		for _, name := range []string{"weir-page.js", "weir-page.css"} {
			get("/"+name, func(ctx *fasthttp.RequestCtx) { Asset(ctx, name) })
		}
	}
	for _, name := range web.Client() {
		get("/"+name, func(ctx *fasthttp.RequestCtx) { shared(ctx, "client/dist/"+name) })
	}
	get("/v1/openapi.yaml", func(ctx *fasthttp.RequestCtx) { Asset(ctx, "openapi.yaml") })
	if s.hub.Config.Dev {
		get("/demo", s.handleDemo)
		get("/demo/{name}", s.handleDemo)
		t.Add(fasthttp.MethodPost, "/demo/disk", s.withKey(s.handleDemoDisk))
		t.Add(fasthttp.MethodPost, "/demo/hold", s.withKey(s.handleDemoHold))
		get("/docs", s.handleDocs)
		get("/docs/{page:*}", s.handleDocs)
	}
	for _, route := range s.apiRoutes() {
		t.Add(route.Method, route.Path, s.withKey(route.Handle))
	}
	for i, x := range s.extra {
		if page && i == sockets {
			continue
		}
		t.Add(x.Method, x.Path, x.Handle)
	}
	for _, route := range s.preflights() {
		t.Handle(route.Method, route.Path, route.Handle)
	}
	return t.Handler
}

// Routes are the method and the path of every route of the public listener, in the form "GET /v1/channels".
func (s *Server) Routes() []string {
	out := []string{"GET /", "GET /ws", "GET /sse", "GET /v1/openapi.yaml"}
	for _, x := range s.apiRoutes() {
		out = append(out, x.Method+" "+x.Path)
	}
	for _, x := range s.extra {
		out = append(out, x.Method+" "+x.Path)
	}
	slices.Sort(out)
	return out
}
