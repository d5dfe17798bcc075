package pusher_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// raw is a client that reads what its test says, and answers nothing.
type raw struct {
	t  *testing.T
	nc net.Conn
}

func (g *rig) raw(t *testing.T, header, messages string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(relaytest.Patience))
	c := &raw{t, nc}
	c.write("GET /app/" + appKey + "?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + header + "\r\n" + messages)
	return c
}

func (c *raw) write(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, text); err != nil {
		c.t.Fatal(err)
	}
}

// masked is a short message as a client sends it.
func masked(text string) string {
	return string([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
}

// ends reads up to the end, which must be the error and the close frame with this code and text, byte for byte.
func (c *raw) ends(code int, text string) {
	c.t.Helper()
	all, err := io.ReadAll(c.nc)
	if err != nil {
		c.t.Fatal(err)
	}
	message := fmt.Sprintf(`{"event":"pusher:error","data":{"code":%d,"message":%q}}`, code, text)
	want := string([]byte{0x81, byte(len(message))}) + message + string(binary.BigEndian.AppendUint16([]byte{0x88, byte(2 + len(text))}, uint16(code))) + text
	if !strings.HasSuffix(string(all), want) {
		c.t.Errorf("the last bytes are %q, want %q", all[max(len(all)-len(want)-20, 0):], want)
	}
}

const (
	over      = "Over capacity"
	reconnect = "Please reconnect immediately"
)

// TestSlowReader closes who does not read with a code after which clients come back at once.
func TestSlowReader(t *testing.T) {
	g := start(t, nil, func(c *config.Config) { c.Limit.Queue = 64 << 10 })
	c := g.raw(t, "", masked(`{"event":"pusher:subscribe","data":{"channel":"x"}}`))
	relaytest.Until(t, "it is subscribed", func() bool {
		_, out := g.call("GET", "/apps/1/channels/x", "", "")
		return out == `{"occupied":true}`
	})
	data := strings.Repeat("x", 10_000)
	relaytest.Until(t, "it is given up", func() bool {
		for range 20 {
			g.trigger("x", "e", data)
		}
		return g.Gauge(`weir_closes_total{code="4008"}`) == 1
	})
	c.ends(4200, reconnect)
}

// TestNoPong closes who does not answer pings likewise.
func TestNoPong(t *testing.T) {
	g := start(t, nil, func(c *config.Config) { c.Heartbeat, c.Pong = 2*time.Second, time.Second })
	g.raw(t, "", "").ends(4201, "Pong reply not received in time")
}

// TestTooManyMessages closes who sends too many with a code after which clients come back after a second.
func TestTooManyMessages(t *testing.T) {
	g := start(t, nil, func(c *config.Config) { c.Limit.Commands = units.Rate{Count: 2, Per: time.Hour} })
	g.raw(t, "", strings.Repeat(masked(`{"event":"pusher:ping"}`), 5)).ends(4100, over)
}

// TestTooManyConnections refuses those beyond a limit after the upgrade, likewise: of the app, and of an address behind a proxy.
func TestTooManyConnections(t *testing.T) {
	g := start(t, func(a *pusher.App) { a.Limit.Connections = 2 }, func(c *config.Config) {
		c.Limit.PerAddress, c.TrustedProxies = 1, []string{"127.0.0.0/8"}
	})
	const one, two, three = "X-Forwarded-For: 192.0.2.1\r\n", "X-Forwarded-For: 192.0.2.2\r\n", "X-Forwarded-For: 192.0.2.3\r\n"
	connected := func(n int) {
		t.Helper()
		relaytest.Until(t, "they are connected", func() bool {
			_, out := g.call("GET", "/apps/1/connections", "", "")
			return out == fmt.Sprintf(`{"connections":%d}`, n)
		})
	}
	first := g.raw(t, one, "")
	connected(1)
	g.raw(t, one, "").ends(4100, over)
	g.raw(t, two, "")
	connected(2)
	g.raw(t, three, "").ends(4100, over)
	_ = first.nc.Close()
	connected(1)
	g.raw(t, three, "")
	connected(2) // there is a place again
}

// TestDrain ends every client with a code that it comes back after.
func TestDrain(t *testing.T) {
	g := start(t, nil)
	c := g.raw(t, "", masked(`{"event":"pusher:subscribe","data":{"channel":"x"}}`))
	relaytest.Until(t, "it is subscribed", func() bool {
		_, out := g.call("GET", "/apps/1/channels/x", "", "")
		return out == `{"occupied":true}`
	})
	go g.Stop()
	c.ends(4200, reconnect)
	g.Stop()
}
