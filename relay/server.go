package relay

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/web"
)

// newServer is the public HTTP server. Connections that are upgraded leave it.
func (r *Relay) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:               r.handle,
		ErrorHandler:          r.handleBadRequest,
		Name:                  "weir",
		LazyRequestTime:       true, // nobody asks for it
		ReadBufferSize:        ingress.MaxHeaderBytes,
		WriteBufferSize:       8 << 10, // the answers to 100 lines, in one write
		MaxRequestBodySize:    int(r.hub.Config.Limit.Request),
		NoDefaultServerHeader: true,
		CloseOnShutdown:       true,
		Logger:                quietLogger{r},
		SecureErrorLogMessage: true,
	}
}

// quietLogger takes what the HTTP server has to say about bad clients: worth a look when debugging only.
// The details stay out of the log, as they quote requests, and these hold tokens.
type quietLogger struct{ relay *Relay }

// Printf implements fasthttp.Logger.
func (l quietLogger) Printf(format string, _ ...any) {
	l.relay.hub.Log.Debug("http", slog.String("message", format))
}

// newRouter knows the routes of the public listener.
func (r *Relay) newRouter() fasthttp.RequestHandler {
	t := router.New()
	t.RedirectTrailingSlash = false
	t.RedirectFixedPath = false
	t.HandleOPTIONS = false
	t.NotFound = r.notFound
	t.MethodNotAllowed = func(ctx *fasthttp.RequestCtx) {
		allow := string(ctx.Response.Header.Peek("Allow"))
		r.gate.Refuse(ctx, problem.MethodNotAllowed)
		ctx.Response.Header.Set("Allow", allow)
	}
	handle := func(method, path string, h fasthttp.RequestHandler) {
		t.Handle(method, path, h)
		if method == fasthttp.MethodGet { // the server leaves the body out
			t.Handle(fasthttp.MethodHead, path, h)
		}
	}
	get := func(path string, h fasthttp.RequestHandler) { handle(fasthttp.MethodGet, path, h) }
	get("/ws", r.sessions.HandleWS)
	get("/sse", r.sessions.HandleSSE)
	if r.hub.Config.Dev || r.hub.Config.Page {
		get("/", r.handlePage)
		for _, name := range []string{"weir-page.js", "weir-page.css"} {
			get("/"+name, func(ctx *fasthttp.RequestCtx) { asset(ctx, name) })
		}
	}
	for _, name := range web.Client() {
		get("/"+name, func(ctx *fasthttp.RequestCtx) { shared(ctx, "client/dist/"+name) })
	}
	get("/v1/openapi.yaml", func(ctx *fasthttp.RequestCtx) { asset(ctx, "openapi.yaml") })
	if r.hub.Config.Dev {
		get("/demo", r.handleDemo)
		get("/demo/{name}", r.handleDemo)
		get("/docs", r.handleDocs)
		get("/docs/{page:*}", r.handleDocs)
	}
	for _, route := range r.apiRoutes() {
		handle(route.method, route.path, r.withKey(route.handle))
	}
	for _, x := range r.extra {
		handle(x.method, x.path, x.handle)
	}
	for _, route := range r.preflights() {
		t.Handle(route.method, route.path, route.handle)
	}
	return t.Handler
}

// handle takes every request of the public listener. A panic costs its request.
func (r *Relay) handle(ctx *fasthttp.RequestCtx) {
	last := false // nothing behind this request is read as the next
	defer func() {
		if v := recover(); v != nil {
			r.hub.LogPanic(v, slog.String("where", "request"), slog.String("path", string(ctx.Path())))
			r.gate.Refuse(ctx, problem.Internal)
			last = true
		}
		if last {
			ctx.SetConnectionClose() // whatever the answer has become, and whoever made it
		}
		if !ctx.Hijacked() {
			r.hub.Counters.Classes[min(ctx.Response.StatusCode()/100, 5)].Inc()
		}
	}()
	g := ingress.ConnOf(ctx.Conn())
	if g != nil {
		g.Serving()
	}
	var bad *problem.Error
	if last, bad = ingress.Check(ctx); bad != nil {
		r.gate.Refuse(ctx, bad)
		return
	}
	if encoded(&ctx.Request) {
		r.gate.Refuse(ctx, problem.ContentEncoding)
		ctx.Response.Header.Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
		return
	}
	if r.hub.Config.Dev && !r.gate.LocalName(ctx.Host(), g) {
		// A page elsewhere whose name was made to point here would pass for our own.
		r.gate.Refuse(ctx, problem.ForeignOrigin.With("development mode answers to 127.0.0.1, ::1 and localhost only"))
		return
	}
	if string(ctx.Request.URI().PathOriginal()) == ingress.PublishPath && ctx.IsPost() { // the hot one goes past the router
		r.withKey(r.handlePublish)(ctx)
		return
	}
	r.route(ctx)
}

// handleBadRequest answers what the server could not parse. It closes the connection afterwards.
func (r *Relay) handleBadRequest(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		r.gate.Refuse(ctx, problem.HeadersTooLarge)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r.gate.Refuse(ctx, problem.TooLarge.With("the request is larger than "+r.hub.Config.Limit.Request.String()))
	default:
		r.gate.Refuse(ctx, problem.BadRequest)
	}
	r.hub.Counters.Classes[4].Inc()
}

// asset answers with a file. Whoever has it asks whether it is still the same.
func asset(ctx *fasthttp.RequestCtx, name string) {
	h := &ctx.Response.Header
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	tag := web.Tag(name)
	h.Set("ETag", tag)
	if strings.Contains(string(ctx.Request.Header.Peek("If-None-Match")), tag) {
		ctx.NotModified()
		h.Set("ETag", tag)
		return
	}
	h.SetContentType(web.Type(name))
	h.Add("Vary", "Accept-Encoding")
	if small := web.Gzip(name); small != nil && ctx.Request.Header.HasAcceptEncoding("gzip") {
		h.Set("Content-Encoding", "gzip")
		ctx.Response.SetBodyRaw(small)
		return
	}
	ctx.Response.SetBodyRaw(web.File(name))
}

// shared answers with the client for browsers, which pages elsewhere may load as well.
func shared(ctx *fasthttp.RequestCtx, name string) {
	asset(ctx, name)
	h := &ctx.Response.Header
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if module, ok := strings.CutSuffix(string(ctx.Path()), ".js"); ok {
		h.Set("X-TypeScript-Types", module+".d.ts")
	}
}

// pagePolicy lets the pages load their own scripts and styles and talk to this server, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; " +
	"worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// handlePage is GET /. In development mode the page gets a token of a guest; elsewhere it asks for one.
func (r *Relay) handlePage(ctx *fasthttp.RequestCtx) {
	token, links := "", `<a href="/v1/openapi.yaml">API</a>`
	if r.hub.Config.Dev {
		token, links = r.guestToken(), `<a href="/demo">Demos</a><a href="/docs">Docs</a>`+links
	}
	page(ctx, strings.NewReplacer("{{TOKEN}}", token, "{{LINKS}}", links).Replace(string(web.File("index.html"))))
}

// page answers with a page.
func page(ctx *fasthttp.RequestCtx, html string) {
	h := &ctx.Response.Header
	h.SetContentType("text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	ctx.SetBodyString(html)
}

// encoded says whether the body of a request is compressed, or coded otherwise.
func encoded(req *fasthttp.Request) bool {
	for _, line := range req.Header.PeekAll("Content-Encoding") {
		if len(line) > 0 && !bytes.EqualFold(line, []byte("identity")) {
			return len(req.Body()) > 0
		}
	}
	return false
}

// withKey lets backends with an API key pass.
func (r *Relay) withKey(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if key := ingress.Credentials(ctx.Request.Header.Peek("Authorization")); len(key) > 0 {
			if r.gate.HasKey(ingress.ConnOf(ctx.Conn()), key) {
				next(ctx)
				return
			}
		}
		why := "it is not among api.keys"
		if len(ingress.Credentials(ctx.Request.Header.Peek("Authorization"))) == 0 {
			why = "there is none in the header Authorization, after the word Bearer"
		}
		r.gate.Refuse(ctx, r.gate.Explain(problem.Unauthorized.With("an API key is needed: Authorization: Bearer KEY"), "api key refused", ingress.ReasonKey, why))
	}
}

// appendAt appends the member position.
func appendAt(b []byte, epoch string, seq uint64) []byte {
	return wire.AppendPosition(append(b, `"position":`...), epoch, seq)
}

// queryInt is a whole number of the query; 0 if it is not there.
func queryInt(ctx *fasthttp.RequestCtx, name string) (uint64, error) {
	v := ctx.QueryArgs().Peek(name)
	if len(v) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0, problem.BadField.With(name + " must be a whole number")
	}
	return n, nil
}
