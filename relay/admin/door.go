package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/config"
	"weir/relay/ingress"
	"weir/relay/problem"
)

// admit stands before every route: it returns why a request may not pass, nil if it may.
func (s *Server) admit(ctx *fasthttp.RequestCtx) *problem.Error {
	if why := s.foreign(ctx); why != "" {
		s.gate.Refused("admin request refused", ingress.ReasonOrigin, why)
		return problem.Forbidden.With(why)
	}
	if !s.hasToken(ctx) {
		s.gate.Refused("admin token refused", ingress.ReasonAdmin, "the token is missing, or is not admin_token")
		return problem.Unauthorized.With("the admin token is required, as bearer token or as password")
	}
	return nil
}

// foreign returns why a request does not come from a page of this listener or from a program; "" if it does. A page
// elsewhere would act, or start a profile, with the password that the browser keeps, or, on loopback, simply because it
// runs on this machine. Programs send neither Origin nor Sec-Fetch-Site, and name the address that they have dialed.
func (s *Server) foreign(ctx *fasthttp.RequestCtx) string {
	host := string(ctx.Host())
	switch {
	case config.LoopbackHost(s.hub.Config.Admin) && host != "" && !config.LoopbackHost(host): // no browser leaves Host out
		// A name that was made to point here: its page would pass for our own.
		return "the admin listener accepts the hosts 127.0.0.1, ::1 and localhost only; set admin_token to use others"
	case !ownPage(ctx, host):
		return "the admin listener refuses requests of pages from other origins"
	}
	return ""
}

// ownPage reports whether a request was made by a page of this listener, or by no page at all. Somebody may have followed
// a link to the dashboard.
func ownPage(ctx *fasthttp.RequestCtx, host string) bool {
	h := &ctx.Request.Header
	switch string(h.Peek("Sec-Fetch-Site")) {
	case "", "same-origin", "none":
	default:
		return ctx.IsGet() && string(ctx.Path()) == "/" && string(h.Peek("Sec-Fetch-Mode")) == "navigate" && string(h.Peek("Sec-Fetch-Dest")) == "document"
	}
	origins := h.PeekAll("Origin")
	return len(origins) == 0 || len(origins) == 1 && originIs(string(origins[0]), host)
}

// originIs reports whether an Origin is the host that was asked for. Whether that was by http or https, a proxy in front
// alone knows; the port that goes without saying may be said (RFC 9110, section 4.2.3).
func originIs(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	usual := ingress.UsualPorts[u.Scheme]
	return usual != "" && strings.EqualFold(ingress.WithPort(u.Host, usual), ingress.WithPort(host, usual))
}

// hasToken reports whether a request has the admin token, if there is one. The relay's health is told without.
func (s *Server) hasToken(ctx *fasthttp.RequestCtx) bool {
	switch string(ctx.Path()) {
	case "/healthz", "/readyz":
		return true
	}
	if s.hub.Config.AdminToken == "" {
		return true
	}
	header := ctx.Request.Header.Peek("Authorization")
	given := ingress.Credentials(header)
	ok := given != nil
	if !ok {
		r := http.Request{Header: http.Header{"Authorization": {string(header)}}}
		var password string
		_, password, ok = r.BasicAuth()
		given = []byte(password)
	}
	want, got := sha256.Sum256([]byte(s.hub.Config.AdminToken)), sha256.Sum256(given) // equal lengths, whatever was given
	return ok && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
