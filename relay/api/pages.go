package api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/config"
	"weir/relay/web"
)

// Asset makes a file the response. A client that has it asks whether it is still the same.
func Asset(ctx *fasthttp.RequestCtx, name string) {
	h := &ctx.Response.Header
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	tag := web.Tag(name)
	h.Set("ETag", tag)
	if strings.Contains(string(ctx.Request.Header.Peek("If-None-Match")), tag) {
		ctx.NotModified()
		h.Set("ETag", tag)
		return
	}
	h.SetContentType(web.Type(name))
	h.Add("Vary", "Accept-Encoding")
	if small := web.Gzip(name); small != nil && ctx.Request.Header.HasAcceptEncoding("gzip") {
		h.Set("Content-Encoding", "gzip")
		ctx.Response.SetBodyRaw(small)
		return
	}
	ctx.Response.SetBodyRaw(web.File(name))
}

// shared answers with the client for browsers, which pages elsewhere may load as well.
func shared(ctx *fasthttp.RequestCtx, name string) {
	Asset(ctx, name)
	h := &ctx.Response.Header
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if module, ok := strings.CutSuffix(string(ctx.Path()), ".js"); ok {
		h.Set("X-TypeScript-Types", module+".d.ts")
	}
}

// pagePolicy lets the pages load their own scripts and styles and talk to this server, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; " +
	"worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// handlePage is GET /. In development mode on loopback the page gets a token of a guest; elsewhere it asks for one.
func (s *Server) handlePage(ctx *fasthttp.RequestCtx) {
	token, key, links := "", "", `<a href="/v1/openapi.yaml">API</a>`
	if s.hub.Config.Dev {
		links = `<a href="/demo">Demos</a><a href="/docs">Docs</a>` + links
	}
	if s.hub.Config.DevLocal() {
		token = s.guestToken()
		if s.hub.Config.DevAPIKey == "" {
			key = config.DevKey
		}
	}
	Page(ctx, strings.NewReplacer("{{TOKEN}}", token, "{{KEY}}", key, "{{LINKS}}", links).Replace(string(web.File("index.html"))))
}

// Page makes a page the response.
func Page(ctx *fasthttp.RequestCtx, html string) {
	h := &ctx.Response.Header
	h.SetContentType("text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	ctx.SetBodyString(html)
}
