package relaytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weir/internal/mesh"
	"weir/internal/mesh/fake"
	"weir/relay"
	"weir/relay/config"
)

// Nodes are relays of one cluster, on a mesh in memory.
type Nodes struct {
	testing.TB
	Rigs []*Rig
	mesh *fake.Mesh

	// Guarded by mu.
	mu       sync.Mutex
	sessions []string        // by node
	cut      map[string]bool // sessions that hear nobody
}

// opener notes the session of a node.
type opener struct {
	nodes *Nodes
	node  int
}

// Open implements mesh.Opener.
func (o opener) Open(session string, h mesh.Handler) (mesh.Node, error) {
	o.nodes.mu.Lock()
	o.nodes.sessions[o.node] = session
	o.nodes.mu.Unlock()
	return o.nodes.mesh.Open(session, h)
}

// Cluster starts the nodes node-0, node-1 and so on, each with systems of its own, and waits until all channels have an owner.
func Cluster(t testing.TB, count int, prepare func(*config.Config), systems func() []relay.System) *Nodes {
	t.Helper()
	n := &Nodes{TB: t, sessions: make([]string, count), cut: make(map[string]bool)}
	n.mesh = &fake.Mesh{Lose: func(from, to string, _ []byte) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.cut[from] || n.cut[to]
	}}
	for range count {
		n.start(prepare, systems)
	}
	n.ready()
	return n
}

// ClusterOf is Cluster with the systems of modules, which are on and which the configuration knows.
func ClusterOf(t testing.TB, count int, prepare func(*config.Config), modules ...relay.Module) *Nodes {
	t.Helper()
	return Cluster(t, count, func(c *config.Config) {
		for _, m := range modules {
			c.Known = append(c.Known, m.System)
			if m.On == nil {
				c.Systems = append(c.Systems, m.System.Name)
			}
		}
		if prepare != nil {
			prepare(c)
		}
	}, func() (list []relay.System) {
		for _, m := range modules {
			list = append(list, m.New())
		}
		return list
	})
}

// Join starts another node, and waits until all are ready.
func (n *Nodes) Join(prepare func(*config.Config), systems func() []relay.System) *Rig {
	n.Helper()
	n.mu.Lock()
	n.sessions = append(n.sessions, "")
	n.mu.Unlock()
	g := n.start(prepare, systems)
	n.ready()
	return g
}

func (n *Nodes) start(prepare func(*config.Config), systems func() []relay.System) *Rig {
	n.Helper()
	var list []relay.System
	if systems != nil {
		list = systems()
	}
	i := len(n.Rigs)
	g := Start(n.TB, func(c *config.Config) {
		if prepare != nil {
			prepare(c)
		}
		c.Cluster.Node, c.Mesh = fmt.Sprint("node-", i), opener{n, i}
	}, list...)
	n.Rigs = append(n.Rigs, g)
	return g
}

func (n *Nodes) ready() {
	n.Helper()
	for _, g := range n.Rigs {
		Until(n.TB, "the node is ready", func() bool {
			resp, err := http.Get(g.Admin + "/readyz")
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}
}

// Move has a node own a channel, and all that is in its partition.
func (n *Nodes) Move(channel string, node int) {
	n.Helper()
	order := fmt.Sprintf(`{"channel":%q,"node":"node-%d"}`, channel, node)
	Until(n, fmt.Sprintf("%s moves to node %d", channel, node), func() bool { // which may not know the last owner yet
		resp, err := http.Post(n.Rigs[node].Admin+"/cluster/move", "application/json", strings.NewReader(order))
		if err != nil {
			n.Error(err)
			return true
		}
		defer func() { _ = resp.Body.Close() }()
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
			n.Errorf("move %s to node %d: %d %s", channel, node, resp.StatusCode, b)
			return true
		}
		return resp.StatusCode == http.StatusOK
	})
}

// Shut has the table of owners refuse to be written, or not any more.
func (n *Nodes) Shut(shut bool) { n.mesh.Shut(shut) }

// Cut has a node hear nobody, and nobody hear it; the table is out of its reach, too.
func (n *Nodes) Cut(node int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[n.sessions[node]] = true
}

// Kill ends a node that nobody hears any more, and which says nothing to anybody.
func (n *Nodes) Kill(node int) {
	n.Helper()
	n.Cut(node)
	n.Rigs[node].Stop()
}

// Heal ends all cuts.
func (n *Nodes) Heal() {
	n.mu.Lock()
	clear(n.cut)
	n.mu.Unlock()
	n.mesh.Heal()
}
