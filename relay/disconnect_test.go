package relay

import (
	"testing"

	"weir/internal/wire"
)

// A backend sends away all connections of a user, on both transports, or one; each gets first what was
// accepted for it before.
func TestDisconnect(t *testing.T) {
	g := open(t)
	one, two, other := g.client("u1"), g.client("u1"), g.client("u2")
	stream := g.follow("u1", "", "a")
	for range 3 { // connected and the two channels
		stream.hear()
	}
	g.post(`"channel":"user:u1","data":1`)
	if a := g.api(200, "POST", "/v1/disconnect", `{"userId":"u1","reason":"banned"}`); a.body != `{"disconnected":3}` {
		t.Error(a.body)
	}
	for _, c := range []*client{one, two} {
		c.change(1, "1") // what was accepted before comes before
		if e := c.ended(); e != (closedWith{wire.CloseForbidden, "banned"}) {
			t.Error(e)
		}
		c.gone()
	}
	if h := stream.hear(); string(h.Data) != "1" {
		t.Error(h.raw)
	}
	if e := stream.event(); e.data != `{"type":"closed","code":4003,"reason":"banned"}` {
		t.Error(e)
	}
	_ = stream.nc.Close()
	if a := g.api(200, "POST", "/v1/disconnect", `{"connectionId":"`+other.hello.ConnectionID+`"}`); a.body != `{"disconnected":1}` {
		t.Error(a.body)
	}
	if e := other.ended(); e != (closedWith{wire.CloseForbidden, "disconnected"}) {
		t.Error(e)
	}
	if a := g.api(200, "POST", "/v1/disconnect", `{"connectionId":"nobody"}`); a.body != `{"disconnected":0}` {
		t.Error(a.body)
	}
}
