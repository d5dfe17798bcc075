package safedial

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Each way in which an exchange fails has words of its own, without the address.
func TestProblem(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/hang":
			<-r.Context().Done()
		case "/broken":
			panic(http.ErrAbortHandler)
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(handler)
	untrusted.Config.ErrorLog = quiet
	untrusted.StartTLS()
	defer untrusted.Close()
	outdated := httptest.NewUnstartedServer(handler)
	outdated.Config.ErrorLog = quiet
	certificate, pool := outdatedCertificate(t)
	outdated.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	outdated.StartTLS()
	defer outdated.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := ln.Addr().String()
	_ = ln.Close()

	client := Insecure(5 * time.Second)
	defer client.CloseIdleConnections()
	strict := Client(time.Second)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer trusting.CloseIdleConnections()
	named := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nobody.invalid", IsNotFound: true}}
	}}}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	over, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		client *http.Client
		ctx    context.Context
		url    string
		want   string
	}{
		{client, t.Context(), untrusted.URL, "its certificate is not trusted"},
		{trusting, t.Context(), outdated.URL, "its certificate has expired, or is not valid yet"},
		{client, t.Context(), strings.Replace(plain.URL, "http:", "https:", 1), "it does not speak TLS"},
		{client, t.Context(), "http://" + closed, "connection refused"},
		{named, t.Context(), "http://nobody.invalid", "name not found"},
		{client, short, plain.URL + "/hang", "no response in time"},
		{client, over, plain.URL, "the relay is shutting down"},
		{client, t.Context(), plain.URL + "/moved", "it returned a redirect"},
		{client, t.Context(), plain.URL + "/broken", "the connection broke off"},
		{strict, t.Context(), "https://" + closed, "the address is not a public one"},
		{strict, t.Context(), "http://" + closed, "the address is not https"},
	} {
		req, err := http.NewRequestWithContext(tt.ctx, http.MethodPost, tt.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tt.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: answered %s", tt.want, resp.Status)
			continue
		}
		if got := Problem(err); got != tt.want {
			t.Errorf("%v: %q, want %q", err, got, tt.want)
		}
	}
}

// outdatedCertificate is one for 127.0.0.1 whose time is over, and who trusts it.
func outdatedCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
