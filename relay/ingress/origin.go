package ingress

import (
	"net"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/config"
)

// OriginAllowed holds the Origin header against the list. Browsers always send one with an upgrade, so a
// page of another site is known by it; others need not. With a page's own event stream they send none.
func (g *Gate) OriginAllowed(ctx *fasthttp.RequestCtx) bool {
	all := ctx.Request.Header.PeekAll("Origin")
	if len(all) == 0 {
		return !g.hub.Config.RequireOrigin || len(ctx.Request.Header.Peek("Upgrade")) == 0
	}
	if len(all) > 1 {
		return false
	}
	origin := string(all[0])
	scheme := "http://"
	if ctx.IsTLS() {
		scheme = "https://"
	}
	if origin == scheme+string(ctx.Host()) || slices.Contains(g.hub.Config.Origins, origin) {
		return true
	}
	same := func(o string) bool { return sameOrigin(origin, o) }
	return same(scheme+string(ctx.Host())) || slices.ContainsFunc(g.hub.Config.Origins, same)
}

// sameOrigin reports whether two origins are one: names in any case, and a port that goes without saying may be said
// (RFC 6454, sections 4 and 5).
func sameOrigin(a, b string) bool {
	schemeA, hostA, okA := strings.Cut(a, "://")
	schemeB, hostB, okB := strings.Cut(b, "://")
	usual := UsualPorts[strings.ToLower(schemeA)]
	return okA && okB && usual != "" && strings.EqualFold(schemeA, schemeB) && strings.EqualFold(WithPort(hostA, usual), WithPort(hostB, usual))
}

// UsualPorts are the ports that an origin leaves out, by its scheme.
var UsualPorts = map[string]string{"http": "80", "https": "443"}

// WithPort is a host with a port, which is the usual one if it has none.
func WithPort(host, usual string) string {
	name, port, err := net.SplitHostPort(host)
	switch {
	case err != nil:
		name, port = strings.Trim(host, "[]"), usual
	case port == "":
		port = usual
	}
	return net.JoinHostPort(name, port)
}

// ForeignName reports whether a request is not served because of its host: in development mode on loopback, one that is not of
// this machine. What a connection's last one was is remembered.
func (g *Gate) ForeignName(host []byte, c *Conn) bool {
	if !g.local || c != nil && string(host) == c.host && c.host != "" {
		return false
	}
	name := string(host)
	if !config.LoopbackHost(name) {
		return true
	}
	if c != nil {
		c.host = name
	}
	return false
}

// exposedHeaders are what pages may read.
const exposedHeaders = "Retry-After, Location"

// SetCORS lets the page that asks read the answer, if it is of an allowed origin.
func (g *Gate) SetCORS(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	origin := ctx.Request.Header.Peek("Origin")
	if len(origin) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if g.OriginAllowed(ctx) {
		h.SetBytesV("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", exposedHeaders)
	}
}

// AppendCORS lets pages of the configured origins read event streams.
func (g *Gate) AppendCORS(dst []byte, ctx *fasthttp.RequestCtx) []byte {
	origin := ctx.Request.Header.Peek("Origin")
	if len(origin) == 0 || !g.OriginAllowed(ctx) {
		return dst
	}
	dst = append(append(dst, "Access-Control-Allow-Origin: "...), origin...)
	return append(dst, "\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"...)
}
