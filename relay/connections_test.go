package relay

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

type connectionRecord struct {
	ConnectionID, UserID, Transport, Address string

	ConnectedAt time.Time
	LastPing    *int64
	Channels    []string
}

func (g *rig) connections(query string) (list []connectionRecord, more bool) {
	g.Helper()
	var body struct {
		Connections []connectionRecord
		More        bool
	}
	if err := json.Unmarshal([]byte(g.api(200, "GET", "/v1/connections"+query, "").body), &body); err != nil {
		g.Fatal(err)
	}
	return body.Connections, body.More
}

// Backends see who is connected, as long as they are.
func TestConnections(t *testing.T) {
	g := open(t)
	a, b := g.client("u1"), g.client("u2")
	a.subscribe("room:1", "")
	stream := g.follow("u1", "", "room:1")
	for range 3 {
		stream.hear()
	}
	list, more := g.connections("?user=u1")
	if len(list) != 2 || more {
		t.Fatal(list, more)
	}
	one, two := list[0], list[1]
	if one.ConnectionID != a.hello.ConnectionID || one.UserID != "u1" || one.Transport != "ws" || one.Address != "127.0.0.1" ||
		time.Since(one.ConnectedAt).Abs() > time.Minute || !slices.Equal(one.Channels, []string{"user:u1", "room:1"}) || one.LastPing == nil {
		t.Errorf("%+v", one)
	}
	if two.Transport != "sse" || two.LastPing != nil || len(two.Channels) != 2 {
		t.Errorf("%+v", two)
	}
	pinged := func(after int64) bool {
		list, _ := g.connections("?user=u1")
		return *list[0].LastPing > after
	}
	before := *one.LastPing
	g.until("a ping is seen", func() bool {
		a.say(`{"type":"ping"}`)
		return a.hear().Type == "pong" && pinged(before)
	})
	list, _ = g.connections("?user=u1")
	before = *list[0].LastPing
	g.until("a pong is seen", func() bool { a.raw([]byte{0x8a, 0x80, 1, 2, 3, 4}); return pinged(before) })
	if list, _ = g.connections("?channel=room:1"); len(list) != 2 {
		t.Error(list)
	}
	if list, _ = g.connections("?channel=room:1&user=u2"); len(list) != 0 {
		t.Error(list)
	}
	first, more := g.connections("?limit=2")
	rest, end := g.connections("?limit=2&after=" + first[1].ConnectionID)
	if len(first) != 2 || !more || len(rest) != 1 || end {
		t.Error(first, rest)
	}
	b.leave()
	g.until("the record is gone", func() bool { list, _ := g.connections("?user=u2"); return len(list) == 0 })
	for _, bad := range []string{"?limit=x", "?limit=1001", "?channel=a%20b"} {
		g.api(400, "GET", "/v1/connections"+bad, "")
	}
}
