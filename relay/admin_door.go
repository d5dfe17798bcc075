package relay

import (
	"net/http"
	"net/url"
	"strings"

	"weir/relay/config"
	"weir/relay/ingress"
)

// adminDoor stands before every route of the admin listener. Requests that a page elsewhere has made do not pass: such a
// page would act, or start a profile, with the password that the browser keeps, or, on loopback, simply because it runs
// on this machine. Programs send neither Origin nor Sec-Fetch-Site, and name the address that they have dialed.
func (r *Relay) adminDoor(next http.Handler) http.Handler {
	local := config.LoopbackHost(r.hub.Config.Admin)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		why := ""
		switch {
		case local && req.Host != "" && !config.LoopbackHost(req.Host): // no browser leaves Host out
			// A name that was made to point here: its page would pass for our own.
			why = "the admin listener answers to 127.0.0.1, ::1 and localhost only; set admin_token to listen elsewhere"
		case !ownPage(req):
			why = "a page elsewhere may not ask the admin listener"
		default:
			next.ServeHTTP(w, req)
			return
		}
		r.gate.Refused("admin request refused", ingress.ReasonOrigin, why)
		http.Error(w, why, http.StatusForbidden)
	})
}

// ownPage says whether a request was made by a page of this listener, or by no page at all. Somebody may have followed a
// link to the dashboard.
func ownPage(req *http.Request) bool {
	switch req.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return req.Method == http.MethodGet && req.URL.Path == "/" && req.Header.Get("Sec-Fetch-Mode") == "navigate" && req.Header.Get("Sec-Fetch-Dest") == "document"
	}
	origins := req.Header.Values("Origin")
	return len(origins) == 0 || len(origins) == 1 && originIs(origins[0], req.Host)
}

// originIs says whether an Origin is the host that was asked for. Whether that was by http or https, a proxy in front
// alone knows; the port that goes without saying may be said (RFC 9110, section 4.2.3).
func originIs(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	usual := ingress.UsualPorts[u.Scheme]
	return usual != "" && strings.EqualFold(ingress.WithPort(u.Host, usual), ingress.WithPort(host, usual))
}
