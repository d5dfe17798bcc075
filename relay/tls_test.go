package relay

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/keyfile"
	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/config"
)

// identityFiles is a certificate and its key on disk.
type identityFiles struct{ config.TLS }

func newIdentity(t *testing.T, serial int64) identityFiles {
	t.Helper()
	dir := t.TempDir()
	f := identityFiles{config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
	f.write(t, serial)
	return f
}

// write replaces the pair by one with another serial number.
func (f identityFiles) write(t *testing.T, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "relay"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{f.Cert: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// secureConfig is openConfig with TLS.
func secureConfig(t *testing.T) (config.Config, identityFiles) {
	t.Helper()
	f := newIdentity(t, 1)
	cfg := openConfig()
	cfg.TLS = f.TLS
	return cfg, f
}

// dialTLS opens a connection to a relay with TLS.
func (g *rig) dialTLS(adjust ...func(*tls.Config)) (*tls.Conn, error) {
	g.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the certificate is looked at by the test
	for _, f := range adjust {
		f(cfg)
	}
	c := tls.Client(g.dial(), cfg)
	err := c.Handshake()
	return c, err
}

// secure is dialTLS for those who must get in.
func (g *rig) secure() *tls.Conn {
	g.Helper()
	c, err := g.dialTLS()
	if err != nil {
		g.Fatal(err)
	}
	return c
}

// TLS 1.2 is the least, HTTP/1.1 the only protocol; plain HTTP gets nothing.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	cfg, _ := secureConfig(t)
	g := launch(t, cfg)
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := g.dialTLS(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if ok {
			if a := g.askOn(c, "GET", "/weir.js", ""); a.StatusCode != 200 {
				t.Errorf("%s: %d", tls.VersionName(version), a.StatusCode)
			}
		}
		_ = c.Close()
	}
	for _, weak := range []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA} {
		c, err := g.dialTLS(func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{weak} })
		if err == nil {
			t.Errorf("%s is taken", tls.CipherSuiteName(weak))
		}
		_ = c.Close()
	}
	c, err := g.dialTLS(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	if err != nil || c.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Errorf("negotiated %q, %v", c.ConnectionState().NegotiatedProtocol, err)
	}
	_ = c.Close()
	nc := g.dial()
	_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	b, err := io.ReadAll(nc)
	if err != nil && !isReset(err) || strings.Contains(string(b), "200 OK") {
		t.Errorf("plain HTTP is answered %q %v", b, err)
	}
}

// A new certificate is taken from disk without a restart; one that does not load leaves the old one.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	cfg, files := secureConfig(t)
	g := launch(t, cfg, func(r *Relay) { r.gate.Timeouts.Reload = 5 * time.Millisecond })
	serial := func() int64 {
		c := g.secure()
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Fatalf("serial %d", n)
	}
	p := g.wsOn(g.secure(), "/ws", "Authorization: Bearer "+mint(t, "u1"))
	files.write(t, 2)
	g.until("the new certificate is used", func() bool { return serial() == 2 })
	if err := os.WriteFile(files.Cert, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.until("the failure is logged", func() bool { return strings.Contains(g.logs.String(), "certificate not reloaded") })
	if n := serial(); n != 2 {
		t.Errorf("serial %d with a certificate that does not load", n)
	}
	if strings.Contains(g.logs.String(), "PRIVATE") {
		t.Error("the key is in the log")
	}
	_ = os.Remove(files.Key)
	if n := serial(); n != 2 {
		t.Errorf("serial %d without files", n)
	}
	files.write(t, 3)
	g.until("the third certificate is used", func() bool { return serial() == 3 })
	p.alive()
	if a := g.askOn(g.secure(), "GET", "/weir.js", ""); a.StatusCode != 200 {
		t.Errorf("%d", a.StatusCode)
	}
	cfg.TLS.Cert = filepath.Join(t.TempDir(), "nothing")
	if _, err := New(cfg, g.relay.hub.Log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a start without a certificate: %v", err)
	}
	cfg.TLS.Cert = ""
	if _, err := New(cfg, g.relay.hub.Log); err == nil {
		t.Error("a key without a certificate is accepted")
	}
}

// Who takes their time over the handshake of TLS is let go like who does over a request.
func TestSlowTLS(t *testing.T) {
	t.Parallel()
	cfg, _ := secureConfig(t)
	g := launch(t, cfg, func(r *Relay) { r.gate.Timeouts.Request = 200 * time.Millisecond })
	hello := clientHello(t)
	slow := map[string]net.Conn{}
	for name, sent := range map[string][]byte{
		"nothing":                         nil,
		"half of the first record":        hello[:40],
		"the hello and no more":           hello,
		"a record that announces a lot":   {0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb},
		"a record that announces nothing": {0x16, 3, 1, 0, 0},
	} {
		nc := g.dial()
		_, _ = nc.Write(sent)
		slow[name] = nc
	}
	for name, nc := range slow {
		if _, err := io.Copy(io.Discard, nc); err != nil && !isReset(err) {
			t.Errorf("%s: it stays open: %v", name, err)
		}
	}
	c := g.secure() // and behind the handshake
	_, _ = io.WriteString(c, "GET / HT")
	if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a request: it stays open: %v", err)
	}
	g.until("all have gone", func() bool { return g.relay.open() == 0 })
}

// clientHello is the first flight of a client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() { // ends with the pipe
		c := tls.Client(a, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it never gets so far
		_ = c.Handshake()
		_ = a.Close()
	}()
	buf := make([]byte, 4096)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// Sessions over TLS keep the same rules.
func TestTLSSessions(t *testing.T) {
	t.Parallel()
	cfg, _ := secureConfig(t)
	cfg.Origins = []string{"https://app.example.com"}
	g := launch(t, cfg)
	token := "Authorization: Bearer " + mint(t, "u1")
	connect := func(lines ...string) *wsPeer { return g.wsOn(g.secure(), "/ws", append(lines, token)...) }

	// The relay's own origin is https here.
	for origin, status := range map[string]int{"https://" + g.public: 101, "http://" + g.public: 403, "https://app.example.com": 101, "https://evil.example": 403} {
		c := g.secure()
		_, _ = io.WriteString(c, upgrade(g.public, "/ws", "Origin: "+origin, token))
		if a, err := readAnswer(bufio.NewReader(c)); err != nil || a.StatusCode != status {
			t.Errorf("%s: %+v %v, want %d", origin, a.Response, err, status)
		}
		_ = c.Close()
	}
	// First frames right behind the handshake, in the same record and in others.
	for _, n := range []int{1, 40} {
		c := g.secure()
		b := []byte(upgrade(g.public, "/ws", token))
		for i := range n {
			b = append(b, textFrame(fmt.Sprintf(`{"type":"ping","id":%d,"pad":"%s"}`, i, strings.Repeat("x", 700)))...)
		}
		_, _ = c.Write(b)
		p := newPeer(t, c)
		p.shaken()
		for i := range n {
			if m := p.next(); string(m.ID) != fmt.Sprint(i) {
				t.Fatalf("the %d. answer is %s", i, m.raw)
			}
		}
		_ = c.Close()
	}
	p, q := connect(), connect()
	for _, x := range []*wsPeer{p, q} {
		x.say(`{"type":"subscribe","channel":"a"}`)
		x.want("subscribed")
	}
	p.say(`{"type":"publish","channel":"a","data":"over TLS"}`)
	p.want("channel_update")
	q.want("channel_update")
	p.raw(clientFrame(fin|wire.OpText, make([]byte, 64<<10+1)))
	p.wantError("too_large")
	p.say(`{"type":"ping"}`)
	p.want("pong")
	_ = p.nc.Close()
	p = connect()
	p.raw([]byte{fin | wire.OpText, 0})
	p.wantClose(wire.CloseProtocol)
	_ = connect().nc.(*tls.Conn).NetConn().Close() // without a word
	g.api2(q)
	stream := &ssePeer{TB: t}
	c := g.secure()
	_, _ = io.WriteString(c, "GET /sse?channel=a HTTP/1.1\r\nHost: x\r\n"+token+"\r\n\r\n")
	stream.body = bufio.NewReader(c)
	stream.want("connected")
	stream.want("subscribed")
	q.say(`{"type":"publish","channel":"a","data":1}`)
	stream.want("channel_update")
	_ = c.Close()
	q.alive()
	g.until("only one is left", func() bool { return g.relay.sessions.Len() == 1 })
}

// api2 demands that a session still gets what a backend publishes over TLS.
func (g *rig) api2(p *wsPeer) {
	g.Helper()
	c := g.secure()
	defer c.Close()
	if a := g.askOn(c, "POST", "/v1/publish", `{"channel":"a","data":2}`, "Authorization: Bearer "+apiKey); a.StatusCode != 200 {
		g.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for p.want("channel_update").raw == "" {
		g.Fatal("nothing")
	}
}

// A client that never reads costs others nothing over TLS either, where writes can block.
func TestTLSReaderThatNeverReads(t *testing.T) {
	t.Parallel()
	cfg, _ := secureConfig(t)
	cfg.Limit.Queue = 128 * units.KiB
	cfg.Shards = 1 // all on one loop
	g, narrow := launchNarrow(t, cfg)
	c := tls.Client(narrow(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // not what is tested here
	stuck := g.wsOn(c, "/ws", "Authorization: Bearer "+mint(t, "stuck"))
	reader := &keenReader{wsPeer: g.wsOn(g.secure(), "/ws", "Authorization: Bearer "+mint(t, "u1"))}
	for _, p := range []*wsPeer{stuck, reader.wsPeer} {
		p.say(`{"type":"subscribe","channel":"a"}`)
		p.want("subscribed")
	}
	publisher := g.wsOn(g.secure(), "/ws", "Authorization: Bearer "+mint(t, "u2"))
	pad := strings.Repeat("p", 30_000)
	for i := range 50 { // more than the queue and the kernels keep
		publisher.say(fmt.Sprintf(`{"type":"publish","channel":"a","data":{"n":%d,"pad":"%s"}}`, i, pad))
		publisher.want("ok")
		reader.upTo(i)
	}
	g.until("the stuck client is given up", func() bool { return g.metric(`weir_slow_readers_total{reason="slow"}`) == "1" })
	reader.alive()
	_ = stuck.nc.(*tls.Conn).NetConn().Close()
	g.until("its session ends", func() bool { return g.relay.sessions.Count("stuck") == 0 })
}

// A certificate and a key that an editor has put a byte order mark into are read all the same.
func TestCertificateWithByteOrderMark(t *testing.T) {
	id := newIdentity(t, 7)
	for _, name := range []string{id.Cert, id.Key} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := "\ufeff" + strings.ReplaceAll(string(b), "\n", "\r\n")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keyfile.Certificate(id.Cert, id.Key); err != nil {
		t.Error(err)
	}
}
