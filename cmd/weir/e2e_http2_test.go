//go:build e2e

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestE2EHTTP2 opens eight event streams of one client by way of nginx with HTTP/2: all of them share a connection.
func TestE2EHTTP2(t *testing.T) {
	s := startDaemon(t)
	secure, dir := freeAddress(t), t.TempDir()
	cert, key := certificate(t, dir)
	startNginx(t, strings.TrimPrefix(s.url, "http://"), "server_name _;",
		fmt.Sprintf("server_name _; listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s;", secure, cert, key))
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	used := make(map[string]bool) // the client's addresses
	for i := range 8 {
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { used[c.Conn.LocalAddr().String()] = true }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet,
			fmt.Sprintf("https://%s/.well-known/mercure?topic=t%d", secure, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != ":\n" || resp.Proto != "HTTP/2.0" || resp.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %q, %v, %s, %s", i, line, err, resp.Proto, resp.Status)
		}
	}
	if len(used) != 1 {
		t.Fatalf("eight streams took the connections %v, want one", used)
	}
}

// certificate makes a self-signed certificate and returns the names of its files.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, x, x, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: b}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}
