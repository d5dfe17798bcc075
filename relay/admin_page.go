package relay

import (
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/web"
)

// maxFollowers is how many followers of a channel are listed.
const maxFollowers = 200

// adminPages adds the dashboard to the admin listener, and what it asks: the API of backends, and who follows a
// channel.
func (r *Relay) adminPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		serveFile(w, req, "dashboard/index.html")
	})
	mux.HandleFunc("GET /dashboard/{name}", func(w http.ResponseWriter, req *http.Request) {
		name := "dashboard/" + req.PathValue("name")
		if web.File(name) == nil {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", web.Tag(name))
		if req.Header.Get("If-None-Match") == web.Tag(name) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		serveFile(w, req, name)
	})
	mux.HandleFunc("GET /figures", r.handleFigures)
	mux.HandleFunc("GET /followers", r.handleFollowers)
	mux.Handle("/v1/", r.backendAPI())
}

func serveFile(w http.ResponseWriter, req *http.Request, name string) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", web.Type(name))
	h.Add("Vary", "Accept-Encoding")
	body := web.File(name)
	if small := web.Gzip(name); small != nil && strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = small
	}
	_, _ = w.Write(body) //nolint:gosec // embedded in the binary, whatever name is asked for
}

// backendAPI is the API of backends on the admin listener: who may administer may do what a backend may.
func (r *Relay) backendAPI() http.Handler {
	t := router.New()
	t.RedirectTrailingSlash, t.RedirectFixedPath, t.HandleOPTIONS = false, false, false
	t.NotFound = func(ctx *fasthttp.RequestCtx) { r.gate.Refuse(ctx, problem.NotFound) }
	t.MethodNotAllowed = func(ctx *fasthttp.RequestCtx) { r.gate.Refuse(ctx, problem.MethodNotAllowed) }
	for _, x := range append(r.apiRoutes(), r.backends...) {
		t.Handle(x.method, x.path, x.handle)
		if x.method == fasthttp.MethodGet {
			t.Handle(fasthttp.MethodHead, x.path, x.handle)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if coding := req.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Accept-Encoding", "identity")
			w.WriteHeader(problem.ContentEncoding.Status)
			_, _ = w.Write(problem.ContentEncoding.AppendProblem(nil))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(r.hub.Config.Limit.Request)))
		if err != nil {
			http.Error(w, "the request is too large, or broke off", http.StatusRequestEntityTooLarge)
			return
		}
		var in fasthttp.Request
		in.Header.SetMethod(req.Method)
		in.SetRequestURI(req.URL.RequestURI())
		in.Header.SetContentType(req.Header.Get("Content-Type"))
		in.Header.Set(jsonbody.LenientHeader, req.Header.Get(jsonbody.LenientHeader))
		in.SetBody(body)
		var ctx fasthttp.RequestCtx
		ctx.Init(&in, remoteOf(req), nil)
		t.Handler(&ctx)
		w.Header().Set("Content-Type", string(ctx.Response.Header.ContentType()))
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(ctx.Response.StatusCode())
		_, _ = w.Write(ctx.Response.Body())
	})
}

// remoteOf is the peer of a request, nil for one that is not TCP's.
func remoteOf(req *http.Request) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", req.RemoteAddr) // an address, nothing to look up
	if err != nil {
		return nil
	}
	return a
}

// handleFollowers is GET /followers?channel=: the sessions that follow a channel.
func (r *Relay) handleFollowers(w http.ResponseWriter, req *http.Request) {
	channel := req.URL.Query().Get("channel")
	w.Header().Set("Cache-Control", "no-store")
	if !wire.ValidChannel(channel) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(problem.BadChannel.Status)
		_, _ = w.Write(problem.BadChannel.AppendProblem(nil))
		return
	}
	b := r.sessions.AppendFollowers([]byte{'{'}, channel, maxFollowers)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '}')) //nolint:gosec // JSON, and its type says so
}
