package relay

import (
	"net"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/config"
)

// originAllowed holds the Origin header against the list. Browsers always send one with an upgrade, so a
// page of another site is known by it; others need not. With a page's own event stream they send none.
func (g *Gate) originAllowed(ctx *fasthttp.RequestCtx) bool {
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

// sameOrigin says whether two origins are one: names in any case, and a port that goes without saying may be said
// (RFC 6454, sections 4 and 5).
func sameOrigin(a, b string) bool {
	schemeA, hostA, okA := strings.Cut(a, "://")
	schemeB, hostB, okB := strings.Cut(b, "://")
	usual := usualPorts[strings.ToLower(schemeA)]
	return okA && okB && usual != "" && strings.EqualFold(schemeA, schemeB) && strings.EqualFold(withPort(hostA, usual), withPort(hostB, usual))
}

var usualPorts = map[string]string{"http": "80", "https": "443"}

// withPort is a host with a port, which is the usual one if it has none.
func withPort(host, usual string) string {
	name, port, err := net.SplitHostPort(host)
	switch {
	case err != nil:
		name, port = strings.Trim(host, "[]"), usual
	case port == "":
		port = usual
	}
	return net.JoinHostPort(name, port)
}

// localName reports whether a host is one of this machine. What a connection's last one was is remembered.
func (*Gate) localName(host []byte, g *guest) bool {
	if g != nil && string(host) == g.host && g.host != "" {
		return true
	}
	name := string(host)
	if !config.LoopbackHost(name) {
		return false
	}
	if g != nil {
		g.host = name
	}
	return true
}

// exposedHeaders are what pages may read.
const exposedHeaders = "Retry-After, Location"

// setCORS lets the page that asks read the answer, if it is of an allowed origin.
func (g *Gate) setCORS(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	origin := ctx.Request.Header.Peek("Origin")
	if len(origin) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if g.originAllowed(ctx) {
		h.SetBytesV("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", exposedHeaders)
	}
}

// appendCORS lets pages of the configured origins read event streams.
func (g *Gate) appendCORS(dst []byte, ctx *fasthttp.RequestCtx) []byte {
	origin := ctx.Request.Header.Peek("Origin")
	if len(origin) == 0 || !g.originAllowed(ctx) {
		return dst
	}
	dst = append(append(dst, "Access-Control-Allow-Origin: "...), origin...)
	return append(dst, "\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"...)
}
