package mercure

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// modernCookie carries tokens of 1.0.
const modernCookie = "__Secure-mercure_access_token"

// refusal is why a request is refused, for either version of the protocol.
type refusal struct {
	status int    // of 1.0; 0.x has 401 for all that a token does not allow
	code   string // of RFC 6750; "": there is no token
	text   string
}

func (r *refusal) Error() string { return r.text }

var (
	noToken      = &refusal{401, "", "a token is needed"}
	badToken     = &refusal{401, "invalid_token", "the token is not valid here"}
	badOrigin    = &refusal{401, "invalid_token", "with a cookie, the request must come from an allowed origin"}
	noKeys       = &refusal{503, "", errNoKeys.Error()}
	outOfScope   = &refusal{403, "insufficient_scope", "the token does not allow this"}
	foreignTopic = &refusal{403, "", "the hub's own topics cannot be published to"}
)

func badRequest(text string) *refusal { return &refusal{400, "invalid_request", text} }
func tooLarge(text string) *refusal   { return &refusal{413, "invalid_request", text} }

// refuse answers a request that is refused. Modern is 1.0.
func (s *System) refuse(ctx *fasthttp.RequestCtx, r *refusal, modern bool) {
	status := r.status
	if !modern {
		switch {
		case r == outOfScope:
			status = 401
		case status == 413:
			status = 400
		}
	}
	reason := "request"
	switch r {
	case noToken, badToken, noKeys:
		reason = "token"
	case badOrigin:
		reason = "origin"
	case outOfScope, foreignTopic:
		reason = "scope"
	}
	s.refusals[reason].Inc()
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(r.text + "\n")
	if status == 503 {
		ctx.Response.Header.Set("Retry-After", "1")
	}
	if status == 401 || modern && r.code != "" {
		challenge := `Bearer realm="mercure"`
		if modern {
			challenge = `Bearer resource_metadata="` + metadataURL(s.address(ctx)) + `"`
			if r.code != "" {
				challenge += `, error="` + r.code + `", error_description="` + r.text + `"`
			}
		}
		ctx.Response.Header.Set("WWW-Authenticate", challenge)
	}
	s.setCORS(ctx)
}

// fail answers a request that the relay cannot serve.
func (s *System) fail(ctx *fasthttp.RequestCtx, status int, text string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(text + "\n")
	if status == 503 {
		ctx.Response.Header.Set("Retry-After", "1")
	}
	s.setCORS(ctx)
}

// address is the hub's, as the configuration says or as it was asked for.
func (s *System) address(ctx *fasthttp.RequestCtx) string {
	if s.now().URL != "" {
		return s.now().URL
	}
	scheme := "http://"
	if ctx.IsTLS() {
		scheme = "https://"
	}
	return scheme + string(ctx.Host()) + Path
}

// metadataURL is where the hub's metadata is (RFC 9728, section 3.1).
func metadataURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/.well-known/oauth-protected-resource" + u.Path
}

// authorize finds the token of a request and reads it. nil: there is none. The first place that has one counts: the header,
// the query, the cookie; with a cookie, the request that changes something must come from an allowed origin.
func (s *System) authorize(ctx *fasthttp.RequestCtx, keys *signers) (*grants, *refusal) {
	token, cookie, address := "", false, false
	if header := string(ctx.Request.Header.Peek("Authorization")); header != "" {
		scheme, rest, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || rest == "" {
			return nil, badToken
		}
		token = strings.TrimSpace(rest)
	} else if query := ctx.QueryArgs().Peek("authorization"); len(query) > 0 {
		token, address = string(query), true
	} else {
		for _, name := range []string{*s.now().Cookie, modernCookie} {
			if name == "" {
				continue
			}
			if value := ctx.Request.Header.Cookie(name); len(value) > 0 && token == "" {
				token, cookie = string(value), true
			}
		}
	}
	if token == "" {
		return nil, nil
	}
	if cookie && ctx.IsPost() && !s.originMay(ctx) {
		return nil, badOrigin
	}
	g, err := s.verify(keys, token, s.address(ctx))
	switch {
	case errors.Is(err, errNoKeys):
		return nil, noKeys
	case err != nil, g.modern && address: // 1.0 has none in addresses, which are logged (RFC 9700, section 4.3.2)
		return nil, badToken
	}
	return g, nil
}

// originMay reports whether a page may publish with its user's cookie.
func (s *System) originMay(ctx *fasthttp.RequestCtx) bool {
	origin := string(ctx.Request.Header.Peek("Origin"))
	if origin == "" {
		u, err := url.Parse(string(ctx.Request.Header.Peek("Referer")))
		if err != nil || u.Host == "" {
			return false
		}
		origin = u.Scheme + "://" + u.Host
	}
	return allowed(s.now().PublishOrigins, origin) || s.own(ctx, origin)
}

// own reports whether an origin is the relay's.
func (s *System) own(ctx *fasthttp.RequestCtx, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, string(ctx.Host()))
}

// allowed reports whether an origin is one of a list: exact ones, "*" for all, "https://*.example.com" for those below a host.
func allowed(list []string, origin string) bool {
	return slices.ContainsFunc(list, func(x string) bool {
		if before, after, ok := strings.Cut(x, "*."); ok {
			host, found := strings.CutPrefix(origin, before)
			return found && strings.HasSuffix(host, "."+after) && !strings.ContainsAny(host, "/@")
		}
		return x == "*" || strings.EqualFold(x, origin)
	})
}

// readable reports whether a page of the origin that asks may read answers.
func (s *System) readable(ctx *fasthttp.RequestCtx, origin string) bool {
	return allowed(s.now().CORSOrigins, origin) || slices.Contains(s.host.Config().Origins, origin) || s.own(ctx, origin)
}

// exposed are the headers of answers that pages may read.
const exposed = "Last-Event-ID, Mercure-Last-Event-ID, Link, ETag, WWW-Authenticate"

// cors appends the header lines that let the page that asks read the answer.
func (s *System) cors(ctx *fasthttp.RequestCtx) (lines [][2]string) {
	origin := string(ctx.Request.Header.Peek("Origin"))
	if origin == "" {
		return nil
	}
	lines = [][2]string{{"Vary", "Origin"}}
	if s.readable(ctx, origin) {
		lines = append(lines, [2]string{"Access-Control-Allow-Origin", origin}, [2]string{"Access-Control-Allow-Credentials", "true"},
			[2]string{"Access-Control-Expose-Headers", exposed})
	}
	return lines
}

func (s *System) setCORS(ctx *fasthttp.RequestCtx) {
	for _, line := range s.cors(ctx) {
		ctx.Response.Header.Set(line[0], line[1])
	}
}

// handlePreflight is OPTIONS: what pages may send.
func (s *System) handlePreflight(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	methods := "GET, HEAD, OPTIONS"
	if string(ctx.Path()) == Path {
		methods = "GET, HEAD, POST, QUERY, OPTIONS"
	}
	ctx.Response.Header.Set("Allow", methods)
	s.setCORS(ctx)
	if len(ctx.Response.Header.Peek("Access-Control-Allow-Origin")) > 0 {
		ctx.Response.Header.Set("Access-Control-Allow-Methods", methods)
		ctx.Response.Header.Set("Access-Control-Allow-Headers", "authorization, cache-control, content-type, last-event-id")
		ctx.Response.Header.Set("Access-Control-Max-Age", "600")
	}
}

// handleMetadata is GET /.well-known/oauth-protected-resource/.well-known/mercure (RFC 9728).
func (s *System) handleMetadata(ctx *fasthttp.RequestCtx) {
	answer := map[string]any{
		"resource": s.address(ctx), "bearer_methods_supported": []string{"header"},
		"authorization_details_types_supported": []string{detailType}, "mercure_cookie": modernCookie,
	}
	if servers := slices.DeleteFunc(slices.Clone(s.now().Issuers), func(x string) bool { return x == "*" }); len(servers) > 0 {
		answer["authorization_servers"] = servers
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(encode(answer, ""))
	s.setCORS(ctx)
}
