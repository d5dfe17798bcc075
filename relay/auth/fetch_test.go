package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/safedial"
)

// keyServer serves whatever handler says over TLS, and what a client needs to trust it.
func keyServer(t *testing.T, handler http.HandlerFunc) (address string, client *http.Client) {
	t.Helper()
	srv := httptest.NewTLSServer(handler)
	t.Cleanup(srv.Close)
	client = safedial.Insecure(fetchTimeout)
	// The certificate of httptest is nobody's: trust it, and keep everything else.
	trusting := srv.Client()
	trusting.CheckRedirect, trusting.Timeout = client.CheckRedirect, client.Timeout
	return srv.URL, trusting
}

func TestFetchKeySet(t *testing.T) {
	set := setOf(jwkOf("k1", &ecKey().PublicKey))
	address, client := keyServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/jwks":
			_, _ = w.Write(set)
		case "/padded": // exactly the largest
			_, _ = fmt.Fprintf(w, "%s%s", set, strings.Repeat(" ", maxKeySet-len(set)))
		case "/oversize":
			_, _ = fmt.Fprintf(w, "%s%s", set, strings.Repeat(" ", maxKeySet-len(set)+1))
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "/cut":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(set)
		case "/redirect":
			http.Redirect(w, r, "/jwks", http.StatusFound)
		case "/error":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(set)
		case "/created":
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(set)
		case "/html":
			_, _ = w.Write([]byte("<html>"))
		}
	})
	for _, tt := range []struct {
		path, want string // part of the message; "" when the set is taken
	}{
		{"/jwks", ""},
		{"/padded", ""},
		{"/oversize", "larger than 1048576 bytes"},
		{"/endless", "larger than 1048576 bytes"},
		{"/cut", "unexpected EOF"},
		{"/redirect", "redirect refused"},
		{"/error", "status 500"},
		{"/created", "status 201"},
		{"/html", "not a JSON Web Key Set"},
	} {
		keys, err := fetchKeySet(t.Context(), client, address+tt.path+"?key=hunter2")
		switch {
		case tt.want == "" && (err != nil || len(keys["k1"]) != 1):
			t.Errorf("%s: %v, %v", tt.path, keys, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: err = %v, want it to say %q", tt.path, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error shows the address: %v", tt.path, err)
		}
	}
	if _, err := fetchKeySet(t.Context(), client, address+"/redirect"); !errors.Is(err, safedial.ErrRedirect) {
		t.Errorf("redirect: %v, want ErrRedirect", err)
	}
}

func TestFetchFromASilentServer(t *testing.T) {
	address, client := keyServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := fetchKeySet(ctx, client, address); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want a timeout", err)
	}
}

// Without allow_insecure the server is never even connected to; with it, tokens are verified. The
// certificate is checked in either case.
func TestKeySetOverTheNetwork(t *testing.T) {
	var hits atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		_, _ = w.Write(setOf(jwkOf("rs", &rsaKey().PublicKey), jwkOf("es", &ecKey().PublicKey), jwkOf("ed", ed25519Key().Public())))
	})
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is not trusted, and says so
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(handler)
	defer plain.Close()

	private := newVerifier(t, Config{JWKS: JWKS{URL: secure.URL}})
	if err := private.WaitKeys(t.Context()); !errors.Is(err, safedial.ErrAddress) {
		t.Errorf("a private address: %v, want ErrAddress", err)
	}
	if s := private.status(); s.Failures != 1 || !errors.Is(s.Err, safedial.ErrAddress) || !s.Fetched.IsZero() {
		t.Errorf("status = %+v", s)
	}
	named := newVerifier(t, Config{JWKS: JWKS{URL: strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)}})
	if err := named.WaitKeys(t.Context()); !errors.Is(err, safedial.ErrAddress) {
		t.Errorf("a name for a private address: %v, want ErrAddress", err)
	}
	if hits.Load() != 0 {
		t.Error("a private address was asked")
	}
	untrusted := newVerifier(t, Config{JWKS: JWKS{URL: secure.URL, AllowInsecure: true}})
	if err := untrusted.WaitKeys(t.Context()); err == nil || hits.Load() != 0 {
		t.Errorf("a certificate of nobody: %v, %d requests", err, hits.Load())
	}

	v := newVerifier(t, Config{JWKS: JWKS{URL: plain.URL, AllowInsecure: true}})
	if err := v.WaitKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokens := allSigned()
	for _, token := range tokens {
		wantAccepted(t, v, token)
	}
	if s := v.status(); s.Keys != 3 || s.Fetches != 1 {
		t.Errorf("status = %+v", s)
	}
	// Reloaded with the same address it keeps its keys; without one it loses them.
	key := TokenKey{ID: "hs", Algorithm: "HS256", Secret: secret}
	if err := v.Reload(Config{Now: atNoon, Keys: []TokenKey{key}, JWKS: JWKS{URL: plain.URL, AllowInsecure: true}}); err != nil {
		t.Fatal(err)
	}
	wantAccepted(t, v, tokens[0])
	wantAccepted(t, v, hs(secret, "hs", claimsAt()))
	if hits.Load() != 1 {
		t.Errorf("%d requests, want 1", hits.Load())
	}
	if err := v.Reload(Config{Now: atNoon, Keys: []TokenKey{key}}); err != nil {
		t.Fatal(err)
	}
	wantUnknown(t, v, tokens[0])
	if s := v.status(); s != (keySetStatus{}) {
		t.Errorf("status without a key set = %+v", s)
	}
}
