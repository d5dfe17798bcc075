package relaytest_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// board is a system with one room. Whoever says something is told so in the place of what the others get.
type board struct{ room *relay.Group }

func (*board) Name() string { return "board" }
func (*board) Close()       {}
func (b *board) Start(host relay.Host) error {
	b.room = host.Group("board:1")
	host.WebSocket("/board", relay.WebSocketRoute{
		Limit: 256 << 10,
		Open:  func(c *relay.Client) { b.room.Join(c, []byte(`{"type":"hello"}`), false) },
		Message: func(c *relay.Client, data []byte, _ bool) {
			x := relay.GroupMessage{Data: data, Exclude: c.ID(), Answer: fmt.Appendf(nil, `{"said":%d}`, len(data))}
			if err := b.room.Send(x); err != nil {
				c.SendError(nil, err)
			}
		},
		Denied: func(c *relay.Client, channel, reason string) bool {
			if channel != "board:1" {
				return false
			}
			c.Close(4003, reason)
			return true
		},
	})
	if err := host.Reserve("board", config.Namespace{Subscribe: config.Authenticated}); err != nil {
		return err
	}
	id := &auth.Identity{User: "u1"}
	if !host.May(id, auth.Subscribe, "board:1") || host.May(id, auth.Publish, "board:1") {
		return fmt.Errorf("a reserved namespace is not as open as its policy says")
	}
	return nil
}

func TestRoomAnswers(t *testing.T) {
	g := relaytest.Start(t, nil, new(board))
	a, b := g.WS("u1", "/board"), g.WS("u2", "/board")
	a.Type("hello")
	b.Type("hello")
	for i := range 50 { // in one window and in several
		a.Send(relaytest.Message{"n": i})
		b.Send(relaytest.Message{"n": i})
	}
	for name, p := range map[string]*relaytest.Peer{"a": a, "b": b} {
		others, own := 0, 0
		for others < 50 || own < 50 {
			m := p.Next()
			if n, ok := m["n"]; ok && n != float64(others) {
				t.Fatalf("%s: %v where %d is due", name, n, others)
			} else if ok {
				others++
			} else if m["said"] != nil {
				own++
			}
		}
		if others != 50 || own != 50 {
			t.Fatal(name, others, own)
		}
	}
}

func TestLiveLimitAndDenial(t *testing.T) {
	g := relaytest.Start(t, nil, new(board))
	a, b := g.WS("u1", "/board"), g.WS("u2", "/board")
	a.Type("hello")
	b.Type("hello")
	long := strings.Repeat("x", 200<<10) // more than limits.message
	a.Send(relaytest.Message{"n": long})
	if m := b.Next(); m["n"] != long {
		t.Fatal("the message is cut")
	}
	b.Send(relaytest.Message{"n": strings.Repeat("x", 256<<10)})
	if code := b.Closed(); code != 1009 {
		t.Fatal(code)
	}
	if status, body := g.Backend("POST", "/v1/unsubscribe", relaytest.Message{"channel": "board:2", "userId": "u1"}); status != 200 || fmt.Sprint(body) != "map[unsubscribed:0]" {
		t.Fatal(status, body)
	}
	if status, body := g.Backend("POST", "/v1/unsubscribe", relaytest.Message{"channel": "board:1", "userId": "u1", "reason": "out"}); status != 200 || fmt.Sprint(body) != "map[unsubscribed:1]" {
		t.Fatal(status, body)
	}
	if code := a.Closed(); code != 4003 {
		t.Fatal(code)
	}
}
