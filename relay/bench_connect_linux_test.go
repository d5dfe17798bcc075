package relay

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"weir/relay/config"
)

// storm is clients that come to a relay one after the other, each follows a channel, and goes. They allocate nothing, so that what is allocated
// is the relay's.
type storm struct {
	*rig
	to       *unix.SockaddrInet4
	requests [][]byte // each of another user
	buf      [4 << 10]byte
}

const (
	stormUsers    = 1 << 13
	stormChannels = 16
)

func newStorm(b testing.TB, presence bool) *storm {
	cfg := openConfig()
	ns := cfg.Namespaces["default"]
	ns.Presence = new(presence)
	cfg.Namespaces = config.Namespaces{"default": ns}
	s := &storm{rig: launch(b, cfg)}
	for i := range stormChannels { // they stay
		p := s.ws("keeper")
		p.say(fmt.Sprintf(`{"type":"subscribe","channel":"bench:%d"}`, i))
		p.want("subscribed")
	}
	at := netip.MustParseAddrPort(s.public)
	s.to = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	for i := range stormUsers {
		s.requests = append(s.requests, []byte(upgrade(s.public, fmt.Sprint("/ws?channel=bench:", i%stormChannels), "Sec-WebSocket-Protocol: weir", "Authorization: Bearer "+mint(b, fmt.Sprint("u", i)))))
	}
	return s
}

// one is the n-th client, from connecting to the answer about its channel, and its end.
func (s *storm) one(n int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, s.to)
	}
	if err == nil {
		_, err = unix.Write(fd, s.requests[n%stormUsers])
	}
	for have := 0; err == nil && !bytes.Contains(s.buf[:have], []byte(`"subscribed"`)); {
		var got int
		if got, err = unix.Read(fd, s.buf[have:]); got == 0 {
			s.Fatalf("closed after %q: %v", s.buf[:have], err)
		}
		have += max(got, 0)
	}
	if err != nil {
		s.Fatal(err)
	}
	_ = unix.Close(fd)
}

// over waits until the sessions have ended.
func (s *storm) over() {
	s.until("the end of the sessions", func() bool { return s.relay.sessions.Len() == stormChannels })
}

// A connection from accept to close: handshake with a token, a channel that the address names, the client's end. The client's share of the time
// is that of its system calls.
func BenchmarkConnect(b *testing.B) {
	for _, presence := range []bool{false, true} {
		b.Run(fmt.Sprintf("presence=%t", presence), func(b *testing.B) {
			s := newStorm(b, presence)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				s.one(n)
			}
			b.StopTimer()
			s.over()
		})
	}
}

// TestConnectAllocations: a connection takes few objects, its user's place in the channel's presence included.
func TestConnectAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	s := newStorm(t, true)
	const warm, counted = 200, 1000
	for n := range warm {
		s.one(n)
	}
	s.over()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range counted {
		s.one(warm + n)
	}
	s.over()
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / counted; each > 14 { // 12, and what else goes on meanwhile
		t.Errorf("%.1f objects a connection", each)
	}
}
