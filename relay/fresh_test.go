package relay_test

import (
	"net/http"
	"testing"

	"weir/relay/config"
	"weir/relay/relaytest"
)

// TestFreshDirectory connects and subscribes where nothing is stored yet: neither the user's own channel nor the one that is followed.
func TestFreshDirectory(t *testing.T) {
	g := relaytest.Start(t, func(c *config.Config) {
		c.Data = t.TempDir()
		ns := c.Namespaces["default"]
		ns.Durable = true
		c.Namespaces["default"], c.Namespaces["user"] = ns, config.Namespace{Durable: true}
	})
	p := g.WS("ann", "/ws")
	p.Type("connected")
	p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": "new:1"})
	if m := p.Next(); m["type"] != "subscribed" {
		t.Fatal(m)
	}
	if status, out := g.Backend("POST", "/v1/publish", `{"channel":"new:1","data":"first"}`); status != http.StatusOK {
		t.Fatal(status, out)
	}
	if m := p.Next(); m["data"] != "first" {
		t.Fatal(m)
	}
}
