package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"weir/internal/mesh"
	"weir/internal/mesh/fake"
	"weir/relay/config"
)

// fabric is what is between the nodes of a cluster. It implements mesh.Opener for each of them.
type fabric struct {
	mesh    *fake.Mesh
	nodes   int
	durable bool          // they have durable channels
	waits   chan struct{} // room for one: who has put something in waits until nothing happens; two nodes may crash at one instant

	mu sync.Mutex
	// Guarded by mu.
	rand     *rand.Rand
	sessions map[string]int // the node of each; killed ones are gone
	begun    map[string]time.Time
	current  []string    // session by node
	blocked  map[way]int // how many steps block it
	losing   map[int]int // percent of the frames of a node
	shuffled map[int]int // percent that are late, or come twice
	unsure   map[int]int // percent of the answers of the table to a node
}

// way is from one node to another, or to the table.
type way struct{ from, to int }

// table is where there is no node.
const table = -1

func newFabric(seed uint64, nodes int, durable bool) *fabric {
	f := &fabric{mesh: &fake.Mesh{}, nodes: nodes, durable: durable, waits: make(chan struct{}, 1), rand: rand.New(rand.NewPCG(seed, 4)), sessions: make(map[string]int), begun: make(map[string]time.Time), current: make([]string, nodes),
		blocked: make(map[way]int), losing: make(map[int]int), shuffled: make(map[int]int), unsure: make(map[int]int)}
	f.mesh.Lose, f.mesh.Fate, f.mesh.Unsure = f.lose, f.fate, f.unsureOf
	f.mesh.Absent, f.mesh.Stale, f.mesh.Behind = f.absent, f.stale, f.behind
	return f
}

// settings makes a node of what a relay alone is.
func (f *fabric) settings(cfg *config.Config, node int) {
	cfg.Data, cfg.Wal = "", nil
	cfg.Cluster = config.Cluster{NATS: []string{"nats://127.0.0.1:4222"}, Node: fmt.Sprint("node-", node), Partitions: 16}
	if !f.durable {
		delete(cfg.Namespaces, "disk")
		delete(cfg.Namespaces, "safe")
	}
	cfg.Mesh = fabricNode{f, node}
}

// fabricNode implements mesh.Opener.
type fabricNode struct {
	*fabric
	node int
}

// Open implements mesh.Opener.
func (n fabricNode) Open(session string, h mesh.Handler) (mesh.Node, error) {
	n.mu.Lock()
	n.sessions[session], n.current[n.node], n.begun[session] = n.node, session, time.Now()
	n.mu.Unlock()
	return n.mesh.Open(session, h)
}

// kill has a process no longer reach anybody.
func (f *fabric) kill(node int) {
	f.mu.Lock()
	delete(f.sessions, f.current[node])
	f.mu.Unlock()
}

func (f *fabric) stop(node int, stop bool) {
	f.mu.Lock()
	session := f.current[node]
	f.mu.Unlock()
	f.mesh.Stop(session, stop)
}

// lose is the Lose of the mesh.
func (f *fabric) lose(from, to string, _ []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.sessions[from]
	if !ok {
		return true
	}
	if to == "" {
		return f.blocked[way{a, table}] > 0
	}
	b, ok := f.sessions[to]
	return !ok || f.blocked[way{a, b}] > 0 || f.rand.IntN(100) < f.losing[a]
}

// fate is the Fate of the mesh.
func (f *fabric) fate(from, _ string) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	late := func() time.Duration { return time.Duration(f.rand.IntN(5000)) * time.Microsecond }
	if f.rand.IntN(100) >= f.shuffled[f.sessions[from]] {
		return []time.Duration{300 * time.Microsecond}
	}
	if f.rand.IntN(4) == 0 {
		return []time.Duration{late(), 100 * late()}
	}
	return []time.Duration{late()}
}

func (f *fabric) unsureOf(session string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rand.IntN(100) < f.unsure[f.sessions[session]]
}

// startsFor is for how long the server of a node that starts does not know of all that it has.
const startsFor = 5 * time.Second

// absent is the Absent of the mesh.
func (f *fabric) absent(session string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.begun[session]) < startsFor && f.rand.IntN(2) == 0
}

// stale is the Stale of the mesh: some of the answers are of who was replaced.
func (f *fabric) stale(string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rand.IntN(4) > 0 {
		return 0
	}
	return time.Duration(f.rand.IntN(30)) * time.Second
}

// behind is the Behind of the mesh.
func (f *fabric) behind(string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.rand.IntN(3)) * time.Second
}

// during does something to the fabric for a while.
func (f *fabric) during(lasts time.Duration, change func(by int)) {
	f.mu.Lock()
	change(1)
	f.mu.Unlock()
	time.Sleep(lasts)
	f.mu.Lock()
	change(-1)
	f.mu.Unlock()
	f.mesh.Heal()
}

// block blocks ways for a while.
func (f *fabric) block(lasts time.Duration, ways ...way) {
	f.during(lasts, func(by int) {
		for _, w := range ways {
			f.blocked[w] += by
		}
	})
}

// ways are those between a node and all others.
func (f *fabric) ways(node int, in, out bool) (list []way) {
	for other := range f.nodes {
		if other == node {
			continue
		}
		if out {
			list = append(list, way{node, other})
		}
		if in {
			list = append(list, way{other, node})
		}
	}
	return list
}

// play plays a step that hits a node or what is between nodes.
func (f *fabric) play(n *server, s step) {
	node := n.number
	other := (node + 1 + int(s.seed%uint64(f.nodes-1))) % f.nodes
	switch s.what {
	case "kill":
		f.kill(node)
		n.crash(s.count, s.lasts, s.seed)
	case "pause":
		n.pause(s.lasts)
	case "split": // two nodes do not reach each other
		f.block(s.lasts, way{node, other}, way{other, node})
	case "cut off": // a node reaches nobody, nor the table
		f.block(s.lasts, append(f.ways(node, true, true), way{node, table})...)
	case "deaf": // a node hears nobody
		f.block(s.lasts, f.ways(node, true, false)...)
	case "mute": // nobody hears it, the table neither, half of the time
		ways := f.ways(node, false, true)
		if s.seed%2 == 0 {
			ways = append(ways, way{node, table})
		}
		f.block(s.lasts, ways...)
	case "flap":
		for range 4 {
			f.block(s.lasts/8, append(f.ways(node, true, true), way{node, table})...)
			time.Sleep(s.lasts / 8)
		}
	case "lose frames":
		f.during(s.lasts, func(by int) { f.losing[node] += by * s.count / 2 })
	case "shuffle":
		f.during(s.lasts, func(by int) { f.shuffled[node] += by * s.count })
	case "no table": // an election
		var ways []way
		for i := range f.nodes {
			ways = append(ways, way{i, table})
		}
		f.block(s.lasts, ways...)
	case "unsure table":
		f.during(s.lasts, func(by int) { f.unsure[node] += by * s.count })
	default:
		panic("no such step: " + s.what)
	}
}

// heal ends all trouble.
func (f *fabric) heal() {
	f.mu.Lock()
	clear(f.blocked)
	f.mu.Unlock()
	f.mesh.Heal()
}

// owners hold what is acknowledged against the terms: an owner that was replaced acknowledges nothing any more, but for an instant. Which of two
// epochs is the older one is not known here: what is held is that they do not go on side by side.
type owners struct {
	mu     sync.Mutex
	epochs map[int][]*epoch // by channel
}

type epoch struct {
	name        string
	first, last time.Time // acknowledgement
}

// staleLimit is how long a node that was replaced may go on: until it finds that it is cut off, and what is under way has arrived.
const staleLimit = 5 * time.Second

// acked notes an acknowledgement that has just come.
func (o *owners) acked(w *world, channel int, name string, life int) {
	if !w.clustered() || w.lives(channel) != life || life > 0 {
		return // a deletion begins an epoch, too
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.epochs == nil {
		o.epochs = make(map[int][]*epoch)
	}
	now := time.Now()
	i := slices.IndexFunc(o.epochs[channel], func(e *epoch) bool { return e.name == name })
	if i < 0 {
		o.epochs[channel] = append(o.epochs[channel], &epoch{name, now, now})
		return
	}
	e := o.epochs[channel][i]
	e.last = now
	for _, f := range o.epochs[channel] {
		begin := e.first
		if f.first.After(begin) {
			begin = f.first
		}
		if together := f.last.Sub(begin); f != e && together > staleLimit {
			w.story.problem("%s: acknowledged in %s and in %s for %v", w.channelName(channel), name, f.name, together)
		}
	}
}
