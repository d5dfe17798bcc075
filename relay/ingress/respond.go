package ingress

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"unsafe"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/problem"
)

// PublishPath is the route that backends use most.
const PublishPath = "/v1/publish"

// Refuse makes a problem the response to a request.
func (g *Gate) Refuse(ctx *fasthttp.RequestCtx, f *problem.Error) {
	ctx.Response.Reset()
	ctx.SetStatusCode(f.Status)
	ctx.SetContentType("application/problem+json")
	if f.Status == fasthttp.StatusUnauthorized {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	}
	if f.Status == fasthttp.StatusServiceUnavailable || f.Status == fasthttp.StatusTooManyRequests {
		after := 1
		if f.Code == problem.Unavailable.Code { // those who were let wait by one backend do not come back all at once
			after += rand.IntN(5)
		}
		ctx.Response.Header.Set("Retry-After", strconv.Itoa(after))
	}
	if f.Status == fasthttp.StatusUnauthorized || f.Status == fasthttp.StatusForbidden {
		ctx.SetConnectionClose() // strangers do not get to keep connections open
	}
	if f == problem.UpgradeRequired {
		ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
	}
	g.SetCORS(ctx)
	ctx.SetBody(f.AppendProblem(nil))
}

// Fail makes an error the response to a request. One that nobody expects is logged.
func (g *Gate) Fail(ctx *fasthttp.RequestCtx, err error) {
	f := problem.Of(err)
	if f == problem.Internal {
		g.hub.Log.Error("request failed", "path", string(ctx.Path()), "error", err.Error())
	}
	g.Refuse(ctx, f)
}

// scheme begins an Authorization header; its case does not matter (RFC 9110, section 11.1).
var scheme = []byte("Bearer ")

// Credentials is the token or key of an Authorization header, without white space around it; nil if it has none.
func Credentials(header []byte) []byte {
	if len(header) <= len(scheme) || !bytes.EqualFold(header[:len(scheme)], scheme) {
		return nil
	}
	return bytes.Trim(header[len(scheme):], " \t")
}

// Bearer is the token of an Authorization header; "" if it has none.
func Bearer(header []byte) string { return string(Credentials(header)) }

// BearerHere is Bearer, valid as long as the header is: for a token that is looked at and not kept.
func BearerHere(header []byte) string {
	b := Credentials(header)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// HasKey reports whether a key is one of a backend's. The connection that has shown it is remembered; c may be nil.
func (g *Gate) HasKey(c *Conn, key []byte) bool {
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
