package relay

import (
	"bytes"
	"slices"
	"strings"

	"weir/relay/ingress"

	"github.com/valyala/fasthttp"
)

// allowedHeaders are what pages may send on routes of users, beside those that their libraries add: tracing, caching,
// marks of who asks.
const (
	allowedHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Cache-Control, Pragma, X-Requested-With, " +
		"Traceparent, Tracestate, Baggage, Sentry-Trace"
	preflightAge = "600" // seconds
)

// preflights are the routes that answer a browser which asks whether a page may send a request at all: one for
// each path that serves pages.
func (r *Relay) preflights() []route {
	methods := map[string][]string{"/sse": {"GET"}}
	paths := []string{"/sse"}
	for _, x := range r.extra {
		if !x.pages {
			continue
		}
		if methods[x.path] == nil {
			paths = append(paths, x.path)
		}
		if !slices.Contains(methods[x.path], x.method) {
			methods[x.path] = append(methods[x.path], x.method)
		}
	}
	var out []route
	for _, path := range paths {
		if slices.Contains(methods[path], fasthttp.MethodOptions) {
			continue // the system answers itself
		}
		if slices.Contains(methods[path], fasthttp.MethodGet) {
			methods[path] = append(methods[path], fasthttp.MethodHead)
		}
		allow := strings.Join(append(methods[path], fasthttp.MethodOptions), ", ")
		out = append(out, route{method: fasthttp.MethodOptions, path: path, handle: func(ctx *fasthttp.RequestCtx) { r.preflight(ctx, allow) }})
	}
	return out
}

// preflight answers OPTIONS. A page that may not ask gets an answer without the headers that would let it.
func (r *Relay) preflight(ctx *fasthttp.RequestCtx, allow string) {
	h := &ctx.Response.Header
	h.Set("Allow", allow)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	if len(ctx.Request.Header.Peek("Origin")) == 0 {
		return
	}
	if !r.gate.OriginAllowed(ctx) {
		r.gate.Refuse(ctx, r.gate.RefusedOrigin(ctx))
		return
	}
	r.gate.SetCORS(ctx)
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", allow)
	h.Set("Access-Control-Allow-Headers", allowHeaders(ctx.Request.Header.Peek("Access-Control-Request-Headers")))
	h.Set("Access-Control-Max-Age", preflightAge)
}

// allowHeaders are the headers that a page of a configured origin may send: what it asks for, since it is trusted with the
// token already and no header of its own means anything else here.
func allowHeaders(asked []byte) string {
	if len(asked) == 0 || len(asked) > 1<<10 {
		return allowedHeaders
	}
	for name := range bytes.SplitSeq(asked, []byte(",")) {
		if !ingress.ProperToken(bytes.Trim(name, " \t")) {
			return allowedHeaders
		}
	}
	return allowedHeaders + ", " + string(asked)
}

// forgeable says whether a request could have been made by a page elsewhere in its visitor's name: what it
// carries is the cookie alone, it may change something, and no Origin says where it comes from. Browsers send
// one with every such request; one of another site's has been refused before.
func (r *Relay) forgeable(ctx *fasthttp.RequestCtx) bool {
	if ctx.IsGet() || ctx.IsHead() || r.hub.Config.Auth.Cookie == "" || len(ctx.Request.Header.Peek("Origin")) > 0 {
		return false
	}
	return len(ctx.QueryArgs().Peek("ticket")) == 0 && ingress.Bearer(ctx.Request.Header.Peek("Authorization")) == ""
}
