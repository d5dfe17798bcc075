package doctor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"weir/internal/doctor"
	"weir/internal/remote"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// proxy stands before a relay as nginx does that is set up well, but for what change does.
func proxy(t *testing.T, relay string, change func(next http.Handler) http.Handler) string {
	t.Helper()
	target, err := url.Parse(relay)
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
	}
	if change != nil {
		h = change(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func examine(t *testing.T, address, token string, change func(*doctor.Examination)) (map[string]doctor.Finding, bool) {
	t.Helper()
	r, err := remote.New(address)
	if err != nil {
		t.Fatal(err)
	}
	r.Token = token
	e := doctor.Examination{Relay: r, Channel: "room:1", Quick: true}
	if change != nil {
		change(&e)
	}
	found := make(map[string]doctor.Finding)
	well := doctor.Examine(t.Context(), e, func(f doctor.Finding) { found[f.Check] = f })
	r.HTTP().CloseIdleConnections()
	return found, well
}

// TestWell finds nothing wrong with a relay, by itself and behind a proxy that is set up well.
func TestWell(t *testing.T) {
	t.Parallel()
	g := relaytest.Start(t, nil)
	for _, address := range []string{g.URL, proxy(t, g.URL, nil)} {
		found, well := examine(t, address, g.Token("ann"), func(e *doctor.Examination) { e.Idle, e.Quick = time.Second, false })
		for name, f := range found {
			if f.State != doctor.OK {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if !well || len(found) != 10 {
			t.Errorf("well: %v, %d checks", well, len(found))
		}
	}
	found, well := examine(t, g.URL, "", nil) // without a token there is less to see, and nothing wrong
	if !well || found["stream"].State != doctor.Skipped || found["upgrade"].State != doctor.OK {
		t.Errorf("without a token: %v %+v", well, found)
	}
}

// TestFaults finds each fault by name, with what to change, and nothing else.
func TestFaults(t *testing.T) {
	t.Parallel()
	g := relaytest.Start(t, func(c *config.Config) { c.Heartbeat = 10 * time.Second })
	token := g.Token("ann")
	on := func(path string, f http.HandlerFunc) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, path) {
					f(w, r)
				} else {
					next.ServeHTTP(w, r)
				}
			})
		}
	}
	edit := func(f func(*http.Request)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(r); next.ServeHTTP(w, r) })
		}
	}
	for name, c := range map[string]struct {
		check  string
		advice string
		proxy  func(http.Handler) http.Handler
		token  string
		change func(*doctor.Examination)
	}{
		"upgrade dropped": {check: "upgrade", advice: "proxy_http_version", proxy: edit(func(r *http.Request) {
			r.Header.Del("Upgrade")
			r.Header.Del("Connection")
		})},
		"another server": {check: "upgrade", advice: "route /ws", proxy: on("/ws", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "none", 404) })},
		"Host changed":   {check: "origin", advice: "proxy_set_header Host", proxy: edit(func(r *http.Request) { r.Host = "backend:8080" })},
		"foreign page":   {check: "origin", advice: "origins", change: func(e *doctor.Examination) { e.Relay.Origin = "https://elsewhere.example" }},
		"stream held back": {check: "stream", advice: "buffering", proxy: on("/sse", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			w.(http.Hijacker).Hijack() //nolint:errcheck // it ends without an event
		})},
		"stream compressed": {check: "stream", advice: "compress", proxy: on("/sse", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", r.Header.Get("Accept-Encoding"))
			_, _ = io.WriteString(w, "x")
		})},
		"key added":   {check: "keys", advice: "key", proxy: on("/v1/channels", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })},
		"clock":       {check: "clock", advice: "NTP", proxy: on("/v1/none", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT") })},
		"no relay":    {check: "reach", advice: "not the response of a relay", proxy: on("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })},
		"bad token":   {check: "upgrade", advice: "token", token: "a.b.c"},
		"not allowed": {check: "token", advice: "channels", change: func(e *doctor.Examination) { e.Channel = "user:bob" }},
		"clock of the relay": {check: "token", advice: "NTP", proxy: edit(func(r *http.Request) { // as if it took the end of the token to be further away
			if r.Header.Get("Authorization") != "" {
				r.Header.Set("Authorization", "Bearer "+g.Token("ann", func(c *auth.Claims) { c.TTL = 2 * time.Hour }))
			}
		})},
		"idle cut short": {check: "idle", advice: "proxy_read_timeout", change: func(e *doctor.Examination) { e.Quick = false }, proxy: cut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			use := token
			if c.token != "" {
				use = c.token
			}
			address := g.URL
			if c.proxy != nil {
				address = proxy(t, g.URL, c.proxy)
			}
			found, well := examine(t, address, use, c.change)
			f := found[c.check]
			if well || f.State != doctor.Failed || !strings.Contains(f.Advice, c.advice) {
				t.Errorf("%s: %+v", c.check, f)
			}
			for other, f := range found {
				if f.State == doctor.Failed && other != c.check && (c.check != "token" || other != "resume" && other != "stream") {
					t.Errorf("%s too: %+v", other, f)
				}
			}
		})
	}
}

// TestTokenIsRead: what a token is good for is told, with the relay's own time.
func TestTokenIsRead(t *testing.T) {
	t.Parallel()
	g := relaytest.Start(t, nil)
	many := make(map[string][]string)
	for i := range 10 {
		many[fmt.Sprintf("room:%d", i)] = []string{"subscribe", "publish"}
	}
	for name, c := range map[string]struct {
		channels map[string][]string
		want     string
	}{
		"no channels": {nil, "; it names no channels, and it may subscribe to room:1"},
		"a pattern":   {map[string][]string{"room:*": {"*"}}, "; it names room:* (*), and it may subscribe to room:1"},
		"many":        {many, "; it names room:0 (subscribe, publish), room:1 (subscribe, publish), "},
		"the rest":    {many, "room:7 (subscribe, publish), 2 more, and it may"},
	} {
		token := g.Token("ann", func(k *auth.Claims) { k.Channels = c.channels })
		if found, well := examine(t, g.URL, token, nil); !well || !strings.HasPrefix(found["token"].Found, "it stands for ann, for ") || !strings.Contains(found["token"].Found, c.want) {
			t.Errorf("%s: %+v", name, found["token"])
		}
	}
}

// cut ends connections soon after they were upgraded.
func cut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}
