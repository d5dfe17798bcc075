package relay

import (
	"net"
	"runtime"
	"testing"
	"time"

	"weir/relay/config"
)

// What tests that put systems into a relay, and so stand outside of the package, use of it.
var (
	ClientFrame = clientFrame
	Deflated    = deflated
	Upgrade     = upgrade
	MintClaims  = mintClaims
	OpenConfig  = openConfig
)

// NewCertificate is a certificate of 127.0.0.1 on disk.
func NewCertificate(t *testing.T) config.TLS { return newIdentity(t, 1).TLS }

// FramesOf reads the frames that come on a connection after the answer to the handshake.
func FramesOf(t testing.TB, nc net.Conn) func() (first byte, payload []byte, err error) {
	p := newPeer(t, nc)
	a, err := readAnswer(p.r)
	if err != nil || a.StatusCode != 101 {
		t.Fatalf("handshake: %+v %v", a, err)
	}
	return p.anyFrame
}

// BytesRead is how many bytes of frames have been read.
func (r *Relay) BytesRead() int { return int(r.hub.Counters.BytesIn.Get()) }

// Pause returns when n bytes of frames have been read and no session is in a turn any more, or in one that waits for its
// client, as those do that cannot be awaited.
func (r *Relay) Pause(t testing.TB, n int) {
	t.Helper()
	for end := time.Now().Add(patience); r.BytesRead() < n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes have been read, want %d", r.BytesRead(), n)
		}
	}
	for _, s := range r.sessions.Sessions() {
		s.Settle()
	}
}

// TestKey is the key of the backend in the tests.
const TestKey = apiKey
