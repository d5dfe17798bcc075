package pusher_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// TestFairness has one app flood the relay in every way that there is: with requests, with large events for readers that do not read, and
// with connections. It is refused, for each of these, and another app beside it is refused nothing and loses nothing.
func TestFairness(t *testing.T) {
	bad := pusher.App{ID: "2", Name: "bad", Namespace: "bad", Keys: []pusher.Key{{Key: "bad", Secret: appSecret}}}
	bad.Limit = pusher.Limit{Connections: 4, Events: units.Rate{Count: 200, Per: time.Second}, Backlog: 64 << 10}
	g := start(t, nil, func(c *config.Config) {
		apps := c.Sections[0].(*pusher.Config)
		apps.Apps[0].Name = "good"
		apps.Apps = append(apps.Apps, bad)
	})
	refused := func(app, reason string) float64 {
		return g.Gauge(fmt.Sprintf(`weir_pusher_refused_total{app=%q,reason=%q}`, app, reason))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer cancel()
	forever := func(f func()) {
		flood.Go(func() {
			for ctx.Err() == nil {
				f()
			}
		})
	}
	event := fmt.Sprintf(`{"name":"e","channel":"x","data":%q}`, strings.Repeat("x", 10_000))
	body := `{"batch":[` + strings.TrimSuffix(strings.Repeat(event+",", 10), ",") + `]}`
	for range 3 {
		forever(func() {
			target := signedWith("bad", "POST", "/apps/2/batch_events", "", body)
			if resp, err := http.Post(g.URL+target, "application/json", strings.NewReader(body)); err == nil {
				_ = resp.Body.Close()
			}
		})
	}
	upgrade := "GET /app/bad?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" +
		masked(`{"event":"pusher:subscribe","data":{"channel":"x"}}`)
	for range 8 { // four find a place, and do not read; the others come again and again
		forever(func() {
			nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
			if err != nil {
				return
			}
			defer func() { _ = nc.Close() }()
			_, _ = nc.Write([]byte(upgrade))
			_ = nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = nc.Read(make([]byte, 1))
		})
	}
	relaytest.Until(t, "the app is refused for each reason", func() bool {
		return refused("bad", "rate") > 0 && refused("bad", "backlog") > 0 && refused("bad", "connections") > 0
	})
	before := refused("bad", "rate") + refused("bad", "backlog")
	for round := range 2 {
		c := g.connect(t)
		c.joined("x", "")
		for i := range 20 {
			data := fmt.Sprint(round, ".", i)
			g.trigger("x", "e", data)
			c.data("e", "x", data)
		}
		c.Close()
	}
	relaytest.Until(t, "the flood has gone on", func() bool { return refused("bad", "rate")+refused("bad", "backlog") > before })
	for _, reason := range []string{"rate", "backlog", "connections"} {
		if n := refused("good", reason); n > 0 {
			t.Errorf("the other app was refused %v times: %s", n, reason)
		}
	}
	if n := g.Gauge(`weir_pusher_events_total{app="good"}`); n != 40 {
		t.Error(n, "events")
	}
}
