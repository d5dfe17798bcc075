package chat_test

import (
	"sync/atomic"
	"testing"

	"weir/internal/contain"
)

// A panic while other nodes are asked costs the request, and one of who repairs lists of rooms nothing.
func TestPanicOfNodes(t *testing.T) {
	left := map[string]*atomic.Int32{"nodes of a request": new(atomic.Int32), "lists of rooms": new(atomic.Int32)}
	contain.Throw(func(at string) {
		if n := left[at]; n != nil && n.Add(1) == 1 {
			panic("thrown")
		}
	})
	defer contain.Throw(nil)
	_, g := three(t)
	if status, out := g[0].ask("u1", "POST", "/chat/rooms", message{"name": "n"}); status != 500 {
		t.Errorf("the request is answered %d %v", status, out)
	}
	room := g[0].needs(201, 201, "u1", "POST", "/chat/rooms", message{"name": "n", "members": []string{"u2"}})["id"].(string)
	agree(g, "u1", []string{room}, []string{"u1", "u2"})
	for where, n := range left {
		if n.Load() == 0 {
			t.Errorf("nothing was thrown at %q", where)
		}
	}
}
