//go:build faults

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/mesh/meshtest"
)

// network is three nodes, each in a network namespace of its own, on a bridge that the test is on, too: it reaches all of them, whichever of them reach each other. Their routes are
// encrypted, and ask for a password.
type network struct {
	testing.TB
	nodes []*server
}

func (n *network) address(i int) string { return fmt.Sprint("10.213.8.", i+1) }

func (n *network) space(i int) string { return fmt.Sprint("weir-faults-", i) }

// run runs a line of a shell, as root.
func (n *network) run(line string) {
	n.Helper()
	if out, err := exec.Command("bash", "-c", line).CombinedOutput(); err != nil {
		n.Fatalf("%s: %v %s", line, err, out)
	}
}

func startNetwork(t *testing.T) *network {
	t.Helper()
	needsRoot(t, "nodes in network namespaces")
	n := &network{TB: t}
	undo := func() {
		for i := range 3 {
			_ = exec.Command("ip", "netns", "del", n.space(i)).Run() // with it the cable
		}
		_ = exec.Command("ip", "link", "del", "weirfb").Run()
	}
	undo()
	t.Cleanup(undo)
	n.run("ip link add weirfb type bridge && ip addr add 10.213.8.254/24 dev weirfb && ip link set weirfb up")
	authority := meshtest.New(t)
	cert, key := authority.Issue(t, "node", n.address(0), n.address(1), n.address(2))
	var routes, quoted []string
	for i := range 3 {
		routes = append(routes, n.address(i)+":6222")
		quoted = append(quoted, strconv.Quote(routes[i]))
	}
	for i := range 3 {
		out, in := fmt.Sprint("weirfb", i), fmt.Sprint("weirfi", i)
		n.run("ip netns add " + n.space(i) + " && ip link add " + out + " type veth peer name " + in + " && ip link set " + in + " netns " + n.space(i) +
			" && ip link set " + out + " master weirfb up && ip -n " + n.space(i) + " addr add " + n.address(i) + "/24 dev " + in +
			" && ip -n " + n.space(i) + " link set " + in + " up && ip -n " + n.space(i) + " link set lo up")
		s := newServer(t, fmt.Sprintf("admin_token: %q\ncluster:\n  node: weir-%d\n  tls: {cert: %q, key: %q, ca: %q}\n  embed: {listen: %q, routes: [%s], data: %q, password: %q}\n",
			adminKey, i, cert, key, authority.File, routes[i], strings.Join(quoted, ", "), filepath.Join(t.TempDir(), "js"), strings.Repeat("p", 32)))
		s.listen, s.admin, s.key, s.space = n.address(i)+":8080", n.address(i)+":9090", adminKey, n.space(i)
		s.launch()
		n.nodes = append(n.nodes, s)
	}
	ready(t, n.nodes)
	return n
}

// adminKey is that of admin listeners that are not on loopback.
const adminKey = "the-key-of-the-admin-listeners-in-the-faults"

// cut has nothing of one node reach another one until the function that it returns is called.
func (n *network) cut(from, to int) (heal func()) {
	n.Helper()
	line := "ip -n " + n.space(from) + " route %s blackhole " + n.address(to) + "/32"
	n.run(fmt.Sprintf(line, "add"))
	return func() { n.run(fmt.Sprintf(line, "del")) }
}

// part cuts a node off from the others, both ways or one, for a while.
func (n *network) part(node int, in, out bool, lasts time.Duration) {
	n.Helper()
	var heal []func()
	for other := range 3 {
		if other == node {
			continue
		}
		if out {
			heal = append(heal, n.cut(node, other))
		}
		if in {
			heal = append(heal, n.cut(other, node))
		}
	}
	<-time.After(lasts)
	for _, f := range heal {
		f()
	}
}

// Nodes that do not reach each other, both ways, one way, on and off, and two of which only the third hears both: all go on, readers are contiguous or told, and when the network is whole again all
// agree.
func TestClusterNetwork(t *testing.T) {
	n := startNetwork(t)
	f := sail(t, n.nodes, times(30, 12), 6, 10*time.Millisecond, true)
	lasts := time.Duration(times(15, 5)) * time.Second
	check := func(what string, fault func()) {
		t.Helper()
		took := f.during(what, fault)
		goal(t, took < electionGoal+lasts, "%s: a publication waited for %v", what, took)
		ready(t, n.nodes)
		f.goesOn(3)
	}
	for i := range times(3, 1) {
		check(fmt.Sprintf("node %d is cut off, both ways, for %v", i, lasts), func() { n.part(i, true, true, lasts) })
	}
	if !short {
		check(fmt.Sprintf("nothing of node 0 reaches the others for %v", lasts), func() { n.part(0, false, true, lasts) })
		check(fmt.Sprintf("node 1 gets nothing of the others for %v", lasts), func() { n.part(1, true, false, lasts) })
		check(fmt.Sprintf("nodes 0 and 1 do not reach each other for %v", lasts), func() {
			a, b := n.cut(0, 1), n.cut(1, 0)
			<-time.After(lasts)
			a()
			b()
		})
		check("node 2 is cut off every 3 seconds, for 3 seconds, five times", func() {
			for range 5 {
				n.part(2, true, true, 3*time.Second)
				<-time.After(3 * time.Second)
			}
		})
		check("the cable of node 1 is out for "+lasts.String(), func() {
			n.run("ip link set weirfb1 down")
			<-time.After(lasts)
			n.run("ip link set weirfb1 up")
		})
		if _, err := os.Stat("/sbin/tc"); err == nil && exec.Command("tc", "qdisc", "add", "dev", "weirfb2", "root", "tbf", "rate", "2mbit", "burst", "16kb", "latency", "50ms").Run() == nil {
			check("the cable of node 2 carries 2 Mbit/s", func() {
				<-time.After(lasts)
				n.run("tc qdisc del dev weirfb2 root")
			})
		} else {
			t.Log("a slow cable was not tried: tc, or its tbf, is missing")
		}
	}
	f.judge()
}
