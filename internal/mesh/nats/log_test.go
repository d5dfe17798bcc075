package nats_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"weir/internal/freeport"
	"weir/internal/mesh/meshtest"
	"weir/internal/mesh/nats"
)

// Logs and shelf on one server.
func TestStorage(t *testing.T) {
	_, address := start(t, "")
	c := nats.Config{Servers: []string{"nats://" + address}, LogBytes: 1 << 20}
	a, _ := join(t, "a", c, nil)
	b, _ := join(t, "b", c, nil)
	meshtest.Storage(t, a, b)
}

// Logs and shelf that three servers keep, each process at another one.
func TestStorageOfThree(t *testing.T) {
	addresses := three(t)
	var nodes []nats.Config
	for _, address := range addresses {
		nodes = append(nodes, nats.Config{Servers: []string{"nats://" + address}, LogBytes: 1 << 20, Replicas: 3})
	}
	a, _ := join(t, "a", nodes[0], nil)
	b, _ := join(t, "b", nodes[1], nil)
	meshtest.Storage(t, a, b)
}

// three starts three servers that are one cluster, and returns their addresses.
func three(t *testing.T) (addresses []string) {
	t.Helper()
	var servers []*server.Server
	ports, routes := make([]string, 3), ""
	for i := range ports {
		ports[i] = freeport.Address(t)
		routes += fmt.Sprintf("%q,", "nats-route://"+ports[i])
	}
	for i := range ports {
		s, address := start(t, fmt.Sprintf("server_name: s%d\ncluster {name: test, listen: %q, routes: [%s]}", i, ports[i], routes))
		servers, addresses = append(servers, s), append(addresses, address)
	}
	until(t, "the servers have a leader", func() bool {
		for _, s := range servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == 3 {
				return true
			}
		}
		return false
	})
	return addresses
}
