package api

import (
	"bytes"
	"slices"
	"strings"

	"weir/relay/httpcheck"
	"weir/relay/ingress"

	"github.com/valyala/fasthttp"
)

// AllowedHeaders are what pages may send on routes of users, beside those that their libraries add: tracing, caching,
// marks of who asks.
const (
	AllowedHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Cache-Control, Pragma, X-Requested-With, " +
		"Traceparent, Tracestate, Baggage, Sentry-Trace"
	preflightAge = "600" // seconds
)

// preflights are the routes that answer a browser which asks whether a page may send a request at all: one for
// each path that serves pages.
func (s *Server) preflights() []Route {
	methods := map[string][]string{"/sse": {"GET"}}
	paths := []string{"/sse"}
	for _, x := range s.extra {
		if !x.pages {
			continue
		}
		if methods[x.Path] == nil {
			paths = append(paths, x.Path)
		}
		if !slices.Contains(methods[x.Path], x.Method) {
			methods[x.Path] = append(methods[x.Path], x.Method)
		}
	}
	var out []Route
	for _, path := range paths {
		if slices.Contains(methods[path], fasthttp.MethodOptions) {
			continue // the system answers itself
		}
		if slices.Contains(methods[path], fasthttp.MethodGet) {
			methods[path] = append(methods[path], fasthttp.MethodHead)
		}
		allow := strings.Join(append(methods[path], fasthttp.MethodOptions), ", ")
		out = append(out, Route{fasthttp.MethodOptions, path, func(ctx *fasthttp.RequestCtx) { s.preflight(ctx, allow) }})
	}
	return out
}

// preflight answers OPTIONS. A page that may not ask gets an answer without the headers that would let it.
func (s *Server) preflight(ctx *fasthttp.RequestCtx, allow string) {
	h := &ctx.Response.Header
	h.Set("Allow", allow)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	if len(ctx.Request.Header.Peek("Origin")) == 0 {
		return
	}
	if !s.gate.OriginAllowed(ctx) {
		s.gate.Refuse(ctx, s.gate.RefusedOrigin(ctx))
		return
	}
	s.gate.SetCORS(ctx)
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", allow)
	h.Set("Access-Control-Allow-Headers", allowHeaders(ctx.Request.Header.Peek("Access-Control-Request-Headers")))
	h.Set("Access-Control-Max-Age", preflightAge)
}

// allowHeaders are the headers that a page of a configured origin may send: what it asks for, since it is trusted with the
// token already and no header of its own means anything else here.
func allowHeaders(asked []byte) string {
	if len(asked) == 0 || len(asked) > 1<<10 {
		return AllowedHeaders
	}
	for name := range bytes.SplitSeq(asked, []byte(",")) {
		if !httpcheck.IsToken(bytes.Trim(name, " \t")) {
			return AllowedHeaders
		}
	}
	return AllowedHeaders + ", " + string(asked)
}

// forgeable reports whether a request could have been made by a page elsewhere in its visitor's name: what it
// carries is the cookie alone, it may change something, and no Origin says where it comes from. Browsers send
// one with every such request; one of another site's has been refused before.
func (s *Server) forgeable(ctx *fasthttp.RequestCtx) bool {
	if ctx.IsGet() || ctx.IsHead() || s.hub.Config.Auth.Cookie == "" || len(ctx.Request.Header.Peek("Origin")) > 0 {
		return false
	}
	return len(ctx.QueryArgs().Peek("ticket")) == 0 && ingress.Bearer(ctx.Request.Header.Peek("Authorization")) == ""
}
