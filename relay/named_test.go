package relay

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"weir/internal/wire"
	"weir/relay/hub"
)

// named connects a user whose address names channels.
func (g *rig) named(user, query string) *client {
	g.Helper()
	return &client{wsPeer: g.wsOn(g.dial(), "/ws?"+query, "Authorization: Bearer "+mint(g, user)), rig: g}
}

// A client that comes back to many channels needs one request, and gets all of the answer in one write.
func TestHandshakeNamesSubscriptions(t *testing.T) {
	t.Parallel()
	g := open(t, manyShards)
	at := g.post(`"channel":"room:0","data":0`)
	g.post(`"channel":"room:0","data":1`)
	query := "channel=room:0&position=" + url.QueryEscape(fmt.Sprintf("%s:%d", at.Epoch, at.Seq))
	const many = 20
	for i := 1; i < many; i++ {
		query += fmt.Sprintf("&channel=room:%d&position=", i)
	}
	query += "&channel=room:1&position=other:7" // once more: the first counts
	g.flush()
	before := g.relay.hub.Pool.Stats().Writes
	c := g.named("u1", query)
	if !strings.Contains(c.hello.raw, fmt.Sprintf(`,"channels":%d}`, many)) {
		t.Error(c.hello.raw)
	}
	for i := range many {
		h := c.hear()
		if h.Type != "subscribed" || h.Channel != fmt.Sprint("room:", i) || h.ID != nil || *h.Recovered != (i == 0) {
			t.Fatalf("answer %d: %s", i, h.raw)
		}
		if i == 0 && (len(h.Changes) != 1 || string(h.Changes[0].Data) != "1") {
			t.Error(h.raw)
		}
	}
	g.until("the write is counted", func() bool { return g.relay.hub.Pool.Stats().Writes > before })
	if n := g.relay.hub.Pool.Stats().Writes - before; n != 1 {
		t.Errorf("%d writes", n)
	}
	g.post(`"channel":"room:7","data":7`)
	if h := c.hear(); h.Channel != "room:7" || string(h.Data) != "7" {
		t.Error(h.raw)
	}
	if h := c.ask(`{"type":"unsubscribe","id":1,"channel":"room:7"}`); h.Type != "ok" {
		t.Error(h.raw)
	}
}

// What is wrong with one of the channels is told of that one, in turn, and keeps nobody from the others.
func TestHandshakeNamesWhatMayNotBeFollowed(t *testing.T) {
	t.Parallel()
	g := open(t)
	at := g.post(`"channel":"user:u1","data":0`)
	c := g.named("u1", "channel=user:u2&channel=.bad&channel=%22%5C&channel=user:u1&channel=free:1&position=&position=&position=&position="+
		url.QueryEscape(fmt.Sprintf("%s:%d", at.Epoch, at.Seq-1))+"&position=%22:1")
	for _, want := range []struct{ kind, channel, code string }{
		{"unsubscribed", "user:u2", "forbidden"}, {"unsubscribed", ".bad", "bad_channel"}, {"unsubscribed", `"\`, "bad_channel"},
		{"subscribed", "user:u1", ""}, {"subscribed", "free:1", ""},
	} {
		h := c.hear()
		if h.Type != want.kind || h.Channel != want.channel || h.Code != want.code {
			t.Errorf("%s instead of %v", h.raw, want)
		}
		if want.channel == "user:u1" && (!*h.Recovered || len(h.Changes) != 1) {
			t.Error("the own channel was not resumed:", h.raw)
		}
	}
	c.alive()
	for query, status := range map[string]int{
		"channel=a&channel=b&position=e:1": http.StatusBadRequest,
		"channel=a&position=e":             http.StatusBadRequest,
		"position=e:1":                     http.StatusBadRequest,
	} {
		if a := g.shake("/ws?"+query, "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != status {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
}

// A channel that somebody is asked about holds up neither the handshake nor the others.
func TestHandshakeNamesWhatIsAskedAbout(t *testing.T) {
	t.Parallel()
	g, j := judged(t)
	c := g.named("u1", "channel=asked:1&channel=free:1&channel=asked:2&position=%22%2C%7B:1&position=&position=")
	if h := c.hear(); h.Type != "subscribed" || h.Channel != "free:1" {
		t.Fatal(h.raw)
	}
	c.alive()
	g.until("both are asked about", func() bool { return j.waiting() == 2 })
	for j.waiting() > 0 {
		err := error(nil)
		j.mu.Lock()
		channel := j.pending[0].channel
		j.mu.Unlock()
		want := "subscribed"
		if channel == "asked:2" {
			err, want = hub.ErrDenied, "unsubscribed"
		}
		j.answer(0, err)
		if h := c.hear(); h.Type != want || h.Channel != channel {
			t.Errorf("%s instead of %s", h.raw, want)
		}
	}
	if channels := g.channels("asked:", "", 10); len(channels) != 1 || wire.Namespace(channels[0].Name) != "asked" {
		t.Error(channels)
	}
}
