package relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"weir/relay/ingress"
)

// newAdmin is the server of the admin listener: the dashboard, metrics, health and profiles. Nothing of it is reachable
// on the public listener.
func (r *Relay) newAdmin() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(expose(r.hub.Counters.Set))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("alive\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		if why := r.notReady(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		trouble := r.diskTrouble()
		if trouble != "" && req.URL.Query().Has("durable") {
			http.Error(w, trouble, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n" + trouble))
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	r.adminPages(mux)
	for _, x := range r.adminRoutes {
		mux.Handle(x.pattern, x.handler)
	}
	return &http.Server{Handler: r.containAdmin(r.adminDoor(r.adminOnly(mux))), ErrorLog: slog.NewLogLogger(r.hub.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: r.gate.Timeouts.Request, MaxHeaderBytes: ingress.MaxHeaderBytes, IdleTimeout: time.Minute}
}

// containAdmin has a panic cost its request.
func (r *Relay) containAdmin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer r.hub.Contain.End("admin request", func() {
			w.Header().Set("Connection", "close")
			http.Error(w, "something went wrong here", http.StatusInternalServerError)
		})
		next.ServeHTTP(w, req)
	})
}

// adminOnly lets those pass who have the admin token, if there is one, and everybody to the health of the relay.
func (r *Relay) adminOnly(next http.Handler) http.Handler {
	if r.hub.Config.AdminToken == "" {
		return next
	}
	want := sha256.Sum256([]byte(r.hub.Config.AdminToken))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/healthz" && req.URL.Path != "/readyz" {
			_, given, ok := req.BasicAuth()
			if !ok {
				kind, rest, _ := strings.Cut(req.Header.Get("Authorization"), " ")
				given, ok = strings.TrimSpace(rest), strings.EqualFold(kind, "Bearer")
			}
			got := sha256.Sum256([]byte(given)) // equal lengths, whatever was given
			if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				r.gate.Refused("admin token refused", ingress.ReasonAdmin, "it is not admin_token, or there is none")
				w.Header().Set("WWW-Authenticate", `Basic realm="weir admin", charset="UTF-8"`)
				http.Error(w, "the admin token is needed, as bearer token or as password", http.StatusUnauthorized)
				return
			}
		}
		next.ServeHTTP(w, req)
	})
}

// notReady says why a load balancer should send nobody here; "" if it should.
func (r *Relay) notReady() string {
	switch {
	case r.sessions.Draining():
		return "draining"
	case r.gate.Trouble() != "":
		return r.gate.Trouble()
	case r.hub.Memory.Short():
		return "out of memory"
	case r.hub.Full():
		return "overloaded"
	}
	return ""
}

// diskTrouble says what is wrong with the disk. The relay is ready all the same: live traffic goes on. Who asks for
// /readyz?durable wants to know whether durable channels can be filled, too.
func (r *Relay) diskTrouble() string {
	if r.hub.Disk == nil {
		return ""
	}
	switch s := r.hub.Disk.Stats(); {
	case s.Failing != nil:
		return "the disk fails, durable publications are refused: " + s.Failing.Error() + "\n"
	case s.Broken != nil:
		return "the database can not be written, durable publications will be refused: " + s.Broken.Error() + "\n"
	}
	return ""
}
