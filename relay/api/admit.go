package api

import (
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay/ingress"
	"weir/relay/problem"
)

// withKey lets backends with an API key pass.
func (s *Server) withKey(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if key := ingress.Credentials(ctx.Request.Header.Peek("Authorization")); len(key) > 0 {
			if s.gate.HasKey(ingress.ConnOf(ctx.Conn()), key) {
				next(ctx)
				return
			}
		}
		why := "the key is not among api.keys"
		if len(ingress.Credentials(ctx.Request.Header.Peek("Authorization"))) == 0 {
			why = "there is no key: expected the header Authorization: Bearer KEY"
		}
		s.gate.Refuse(ctx, s.gate.Explain(problem.Unauthorized.With("an API key is required: Authorization: Bearer KEY"), "api key refused", ingress.ReasonKey, why))
	}
}

// withToken lets end users with a token pass, from pages that may.
func (s *Server) withToken(next UserHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if !s.gate.OriginAllowed(ctx) || s.forgeable(ctx) {
			s.gate.Refuse(ctx, s.gate.RefusedOrigin(ctx))
			return
		}
		id, bad := s.sessions.Identify(ctx, "")
		if bad == nil && id.Anonymous {
			bad = problem.Unauthorized
		}
		if bad == nil && !s.quotas.Take(id.User, time.Now()) {
			bad = problem.RateLimited
		}
		if bad != nil {
			s.gate.Refuse(ctx, bad)
			return
		}
		if err := next(ctx, id); err != nil {
			s.gate.Fail(ctx, err)
			return
		}
		s.gate.SetCORS(ctx)
		if len(ctx.Response.Header.Peek("Cache-Control")) == 0 {
			ctx.Response.Header.Set("Cache-Control", "no-store") // it is for this user alone
		}
	}
}
