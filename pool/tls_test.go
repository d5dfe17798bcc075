package pool

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// tlsPair is a TLS connection over loopback sockets: the pool's end and the peer's.
func tlsPair(t *testing.T, small bool) (near, far *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	n, f := tcpPair(t, small)
	near = tls.Server(n, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	far = tls.Client(f, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "127.0.0.1"})
	shaken := make(chan error, 1)
	go func() { shaken <- near.Handshake() }()
	if err := errors.Join(far.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestTLS(t *testing.T) {
	p := newPool(t, Config{})
	tp := p.Topic(Disconnect, nil)
	near, far := tlsPair(t, false)
	c := newPeer(p, near, far, plain, &owner{})
	if c.Awaitable() {
		t.Error("awaitable: what is on the socket is not what is to be read")
	}
	c.Join(tp, 0, []byte("joined;"), nil)
	want := "joined;"
	for _, f := range numbered(1, 200, 1000) {
		tp.Deliver(f)
		want += string(f.Bytes[plain])
	}
	c.Shut([]byte("bye;"), false)
	want += "bye;"
	until(t, "the end", c.over)
	if got := c.take(); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	if _, err := far.Write([]byte("still open")); err != nil { // close_notify ends one direction
		t.Errorf("the other direction: %v", err)
	}
	buf := make([]byte, 20)
	if n, err := near.Read(buf); string(buf[:n]) != "still open" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	c.Remove(nil)
	p.Flush()
	idle(t, p, tp)
}

// Saying goodbye to a peer that does not read would wait: neither the loop nor Close may.
func TestTLSReaderThatNeverReads(t *testing.T) {
	p := newPool(t, Config{Shards: 1, Stall: time.Minute})
	tp := p.Topic(Disconnect, nil)
	other := tcpPeer(t, p, &owner{})
	other.Join(tp, 0, nil, nil)
	so := &owner{}
	near, _ := tlsPair(t, true)
	stalled := p.Open(near, plain, false, so)
	so.onSlow = func() { stalled.Shut([]byte("slow"), true) }
	stalled.Join(tp, 0, nil, nil)
	p.Flush()
	body := strings.Repeat("x", 16<<10)
	for n := range 150 {
		tp.Deliver(frame(uint64(n+1), body))
		until(t, "the other", func() bool { return other.len() == len(body)*(n+1) })
	}
	if so.slows() != 1 {
		t.Errorf("told %d times", so.slows())
	}
	begin := time.Now()
	removed := make(chan struct{})
	stalled.Remove(func() { close(removed) })
	<-removed
	tp.Deliver(frame(200, "after;"))
	until(t, "the other", func() bool { return strings.HasSuffix(other.take(), "after;") })
	p.Close()
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("removing it took %v", d)
	}
	idle(t, p, tp)
}

// The last bytes are queued behind what the peer does not read; once it does, they come, and the loop has
// not waited for the goodbye.
func TestTLSShutBehindAQueue(t *testing.T) {
	p := newPool(t, Config{Shards: 1})
	near, far := tlsPair(t, true)
	c := p.Open(near, plain, false, &owner{})
	_ = c.Send(make([]byte, 500_000))
	c.Shut([]byte("bye"), false)
	p.Flush()
	_ = far.NetConn().(*net.TCPConn).SetReadBuffer(1 << 20)
	got, err := io.ReadAll(far)
	if err != nil || len(got) != 500_003 || !strings.HasSuffix(string(got), "bye") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	c.Remove(nil)
	p.Flush()
	idle(t, p)
}
