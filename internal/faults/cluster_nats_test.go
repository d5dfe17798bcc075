//go:build faults

package faults

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"weir/internal/freeport"
)

// natsServers are servers of their own, in the test's process: a node that is killed takes none with it.
type natsServers struct {
	testing.TB
	options []*natsd.Options
	list    []*natsd.Server // nil: it was ended
}

// startNATS starts three servers of one cluster.
func startNATS(t testing.TB) *natsServers {
	t.Helper()
	return startNATSWith(t, func(*natsd.Options) {})
}

// startNATSWith is startNATS with other options.
func startNATSWith(t testing.TB, change func(o *natsd.Options)) *natsServers {
	t.Helper()
	n := &natsServers{TB: t, list: make([]*natsd.Server, 3)}
	var routes []*url.URL
	for range 3 {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: freeport.Address(t)})
	}
	split := func(address string) (port int) {
		_, _ = fmt.Sscanf(address[strings.LastIndexByte(address, ':')+1:], "%d", &port)
		return port
	}
	for i := range 3 {
		n.options = append(n.options, &natsd.Options{ServerName: fmt.Sprint("nats-", i), Host: "127.0.0.1", Port: split(freeport.Address(t)), NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: natsd.ClusterOpts{Name: "faults", Host: "127.0.0.1", Port: split(routes[i].Host)}, Routes: routes})
		change(n.options[i])
		n.begin(i)
	}
	t.Cleanup(func() {
		for i := range 3 {
			n.end(i)
		}
	})
	return n
}

func (n *natsServers) begin(i int) {
	n.Helper()
	s, err := natsd.NewServer(n.options[i].Clone())
	if err != nil {
		n.Fatal(err)
	}
	s.Start()
	n.list[i] = s
	if !s.ReadyForConnections(patience) {
		n.Fatal("a NATS server has not started")
	}
}

func (n *natsServers) end(i int) {
	if s := n.list[i]; s != nil {
		n.list[i] = nil
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// urls are their addresses.
func (n *natsServers) urls() string {
	var list []string
	for _, o := range n.options {
		list = append(list, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(list, ",")
}

// With NATS servers of their own nodes are taken over without an election: soon. While JetStream has no quorum, what is in memory goes on, and nothing moves.
func TestClusterNATS(t *testing.T) {
	n := startNATS(t)
	nodes := clusterWith(t, 3, "", func(i int, s *server) { s.args = []string{"--node", fmt.Sprint("weir-", i), "--cluster", n.urls()} })
	f := sail(t, nodes, times(100, 12), 6, 10*time.Millisecond, true)
	for i := range times(3, 1) {
		took := f.during(fmt.Sprintf("kill -9 of node %d", i), nodes[i].kill)
		goal(t, took < takeoverGoal, "taking over took %v", took)
		f.during("it is back", func() { nodes[i].start() })
	}
	before := nodes[0].metric("weir_cluster_takeovers_total")
	took := f.during("JetStream has no quorum", func() {
		n.end(1)
		n.end(2)
		for end := time.Now().Add(time.Duration(times(30, 5)) * time.Second); time.Now().Before(end); {
			f.goesOn(3)
		}
	})
	goal(t, took < restartGoal, "a publication waited for %v", took) // until nodes have found another server
	for i, s := range nodes {
		if s.status("/readyz") != 200 {
			t.Errorf("node %d is not ready", i)
		}
	}
	if now := nodes[0].metric("weir_cluster_takeovers_total"); now != before {
		t.Errorf("%v partitions were taken over meanwhile", now-before)
	}
	f.during("it has one again", func() {
		n.begin(1)
		n.begin(2)
	})
	for i := range times(3, 1) { // whichever leads the table
		f.during(fmt.Sprintf("NATS server %d is restarted", i), func() {
			n.end(i)
			f.goesOn(20)
			n.begin(i)
		})
	}
	f.judge()
}

// The partitions of a killed node with a thousand channels are served by others soon.
func TestClusterTakeover(t *testing.T) {
	long(t)
	n := startNATS(t)
	nodes := clusterWith(t, 3, "", func(i int, s *server) { s.args = []string{"--node", fmt.Sprint("weir-", i), "--cluster", n.urls()} })
	f := sail(t, nodes, times(3000, 60), 2, time.Duration(times(1000, 200))*time.Millisecond, true)
	var worst time.Duration
	for i := range times(3, 1) {
		took := f.during(fmt.Sprintf("kill -9 of node %d", i), nodes[i].kill)
		goal(t, took < takeoverGoal, "taking over took %v", took)
		worst = max(worst, took)
		f.during("it is back", func() { nodes[i].start() })
	}
	took := f.during("a node ends in order", func() { nodes[0].drain() })
	goal(t, took < restartGoal, "a publication waited for %v", took)
	nodes[0].start()
	t.Logf("longest until the first acknowledged publication after a kill: %v", worst)
	f.judge()
}
