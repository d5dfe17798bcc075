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
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/freeport"
)

// TestE2EHTTP2 opens eight event streams of one client by way of nginx and of Caddy with HTTP/2: all of them share a connection.
func TestE2EHTTP2(t *testing.T) {
	s := startDaemon(t)
	relay := strings.TrimPrefix(s.url, "http://")
	cert, key := certificate(t, t.TempDir())
	t.Run("nginx", func(t *testing.T) {
		secure := freeport.Address(t)
		startNginx(t, relay, "server_name _;",
			fmt.Sprintf("server_name _; listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s;", secure, cert, key))
		overHTTP2(t, secure)
	})
	t.Run("caddy", func(t *testing.T) {
		secure, front, dir := freeport.Address(t), freeport.Address(t), t.TempDir()
		path := filepath.Join(dir, "Caddyfile")
		_, port, _ := strings.Cut(secure, ":")
		site := shipped(t, "Caddyfile", ":80 {", "https://127.0.0.1:"+port+" {", "127.0.0.1:8080", relay, "respond /v1/*", "bind 127.0.0.1\n\ttls "+cert+" "+key+"\n\trespond /v1/*")
		text := "{\n\tadmin off\n\tauto_https off\n\tgrace_period 1s\n}\nhttp://" + front + " {\n\trespond \"ready\"\n}\n" + site
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		startProxy(t, "http://"+front+"/", "caddy", "run", "--config", path, "--adapter", "caddyfile")
		overHTTP2(t, secure)
	})
}

// overHTTP2 opens the streams by way of a proxy.
func overHTTP2(t *testing.T, secure string) {
	t.Helper()
	out, err := exec.Command("curl", "--http2", "-skI", "https://"+secure+"/.well-known/mercure?topic=a").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "HTTP/2 200") || !strings.Contains(string(out), "text/event-stream") {
		t.Errorf("curl --http2: %v\n%s", err, out)
	}
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
	x := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
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
