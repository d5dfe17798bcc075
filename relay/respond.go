package relay

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/problem"
)

// publishPath is the route that backends use most.
const publishPath = "/v1/publish"

// refuse answers a request with a problem.
func (g *Gate) refuse(ctx *fasthttp.RequestCtx, f *problem.Error) {
	ctx.Response.Reset()
	ctx.SetStatusCode(f.Status)
	ctx.SetContentType("application/problem+json")
	if f.Status == fasthttp.StatusUnauthorized {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	}
	if f.Status == fasthttp.StatusServiceUnavailable || f.Status == fasthttp.StatusTooManyRequests {
		ctx.Response.Header.Set("Retry-After", "1")
	}
	if f.Status == fasthttp.StatusUnauthorized || f.Status == fasthttp.StatusForbidden {
		ctx.SetConnectionClose() // strangers do not get to keep connections open
	}
	if f == problem.UpgradeRequired {
		ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
	}
	g.setCORS(ctx)
	ctx.SetBody(f.AppendProblem(nil))
}

// fail answers a request with an error.
func (g *Gate) fail(ctx *fasthttp.RequestCtx, err error) {
	f := problem.Of(err)
	if f == problem.Internal {
		g.hub.Log.Error("request failed", "path", string(ctx.Path()), "error", err.Error())
	}
	g.refuse(ctx, f)
}

// scheme begins an Authorization header; its case does not matter (RFC 9110, section 11.1).
var scheme = []byte("Bearer ")

// credentials is the token or key of an Authorization header, without white space around it; nil if it has none.
func credentials(header []byte) []byte {
	if len(header) <= len(scheme) || !bytes.EqualFold(header[:len(scheme)], scheme) {
		return nil
	}
	return bytes.Trim(header[len(scheme):], " \t")
}

// bearer is the token of an Authorization header; "" if it has none.
func bearer(header []byte) string { return string(credentials(header)) }

// hasKey reports whether a key is one of a backend's. The connection that has shown it is remembered; c may be nil.
func (g *Gate) hasKey(c *guest, key []byte) bool {
	if c == nil {
		return g.keys.Known(key, new(auth.Memo))
	}
	if !g.keys.Known(key, &c.key) {
		return false
	}
	if !c.known.Load() {
		c.known.Store(true)
	}
	return true
}
