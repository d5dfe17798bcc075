package relaytest_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/relay/relaytest"
)

// Clients are let in while the partitions of their own channels move from node to node: none is sent away, and none is told of a loss.
func TestConnectWhileMoving(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	const users = 4
	for i := range 60 {
		var moving sync.WaitGroup
		moving.Go(func() { n.Move(fmt.Sprint("user:u", i%users), i/users%3) })
		p := n.Rigs[i%3].WS(fmt.Sprint("u", i%users), "/ws")
		if m := p.Type("connected"); m["channel"] != fmt.Sprint("user:u", i%users) {
			t.Errorf("connected: %v", m)
		}
		p.Send(relaytest.Message{"type": "ping", "id": 5})
		for {
			m := p.Next()
			if m["type"] == "resync" && m["lost"] == true {
				t.Errorf("told %v", m)
			}
			if m["type"] == "pong" {
				break
			}
		}
		p.Close()
		moving.Wait()
	}
}

// A client whose own channel's owner is just gone waits for the next one, for as long as choosing it takes, an election before it included; one that comes to a node that is cut off is sent
// to another one.
func TestConnectWithoutOwner(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	const user = "u"
	n.Move("user:u", 0)
	n.Cut(0)
	n.Shut(true) // no other one can take over
	connected := make(chan relaytest.Message)
	for _, g := range n.Rigs[1:] {
		go func() { connected <- g.WS(user, "/ws").Type("connected") }()
	}
	select {
	case <-connected:
		t.Error("connected, but nobody knows the position of the user's channel")
	case <-time.After(5 * time.Second): // longer than one attempt to follow a channel
	}
	n.Shut(false)
	for range 2 {
		if m := <-connected; m["channel"] != "user:"+user {
			t.Errorf("connected: %v", m)
		}
	}
}
