package scale

import "math"

// Costs is what weir was measured to need on one core, without TLS, over loopback. Everything in it is
// per operation; docs/scale.md says how each was measured.
type Costs struct {
	// A write to a connection costs Write, and up to Cold more as connections grow beyond what the caches
	// hold: Cold·(1 − Warm/connections) from Warm connections on.
	Write, Cold float64 // ns
	Warm        float64 // connections on one core
	Byte        float64 // ns for each byte written
	Frame       float64 // ns to close a window of a channel, make its frame and find its subscribers
	Single      float64 // ns for a message published in a request of its own
	Batched     float64 // ns for a message among 100 of one request
	Connect     float64 // ns for a handshake and one subscription
	Heartbeat   float64 // ns for a ping and its pong
	Idle        float64 // bytes of the process for one connection that is silent
	Kernel      float64 // bytes of the kernel for the same, its buffers empty
	Channel     float64 // bytes of a channel with no log
}

// Measured are the figures of docs/scale.md.
var Measured = Costs{
	Write: 6100, Cold: 300, Warm: 1000, Byte: 0.06,
	Frame: 1500, Single: 5700, Batched: 400,
	Connect: 67_000, Heartbeat: 19_000,
	Idle: 6144, Kernel: 3900, Channel: 1200,
}

// write is what one write of so many bytes costs, in ns, on a core that serves so many connections.
func (c Costs) write(connections, bytes float64) float64 {
	cold := 0.0
	if connections > c.Warm {
		cold = c.Cold * (1 - c.Warm/connections)
	}
	return c.Write + cold + c.Byte*bytes
}

// Load is what clients and backends do, in proportion to the connections.
type Load struct {
	Name     string
	About    string
	Audience float64 // subscribers of one channel; 0: all connections follow the same one
	Messages float64 // a second, that each connection receives
	Bytes    float64 // of one message on the wire
	Window   float64 // s; messages within it leave in one write
	Batched  bool    // backends publish many messages in a request
}

// The rest of a WebSocket message around a payload of 128 B, and what a batch costs beside its messages.
const (
	envelope   = 34.0 // bytes for each message in a batch
	batchHead  = 60.0 // bytes for each batch
	frameHead  = 4.0  // bytes
	segment    = 1448 // bytes of payload in an Ethernet packet
	packetHead = 90.0 // bytes: TCP with timestamps, IP, Ethernet, and the gap between packets
	heartbeat  = 25.0 // s between two pings of a connection, the default
	ping       = 2 + packetHead
)

// perConnection is what a connection gets each second: writes, bytes in them, and bytes on the wire.
func (l Load) perConnection() (writes, bytes, wire float64) {
	wire = ping / heartbeat
	if l.Messages == 0 {
		return 0, 0, wire
	}
	// messages come at random times: of the windows that there are, this many are not empty
	each := l.Messages * l.Window
	writes = l.Messages
	if l.Window > 0 {
		writes = (1 - math.Exp(-each)) / l.Window
	}
	bytes = l.Messages*(l.Bytes+envelope) + writes*(batchHead+frameHead)
	perWrite := bytes / writes
	wire += bytes + writes*math.Ceil(perWrite/segment)*packetHead
	return writes, bytes, wire
}

// Machine is one node.
type Machine struct {
	Cores  float64
	Memory float64 // bytes for weir and the kernel's socket buffers
	Gbit   float64 // of the network card, one way
}

// Assumptions about machines, said in docs/scale.md too.
const (
	busy      = 0.7   // share of the cores that a node is planned to use
	contended = 0.004 // each further core costs every core this share: memory, caches, the kernel's locks
	cardUse   = 0.8   // share of a network card that a node is planned to use
	memoryUse = 0.8
	spare     = 2.0 // a busy connection's buffers take this many times its share of one window
)

// useful is how many cores' worth of the measured one a machine has, at the planned use.
func (m Machine) useful() float64 {
	return busy * m.Cores / (1 + contended*(m.Cores-1))
}

// Limit is how many connections of a load a machine holds, and what ends it.
type Limit struct {
	Connections float64
	Deliveries  float64 // a second
	Gbit        float64 // on the wire
	By          string  // cores, memory or card
}

// core is the share of a core that one connection of the load takes, when a core serves so many.
func (c Costs) core(l Load, connections, all float64) float64 {
	ns := c.Heartbeat / heartbeat
	writes, bytes, _ := l.perConnection()
	if writes == 0 {
		return ns / 1e9
	}
	ns += writes * c.write(connections, bytes/writes)
	audience := l.Audience
	if audience == 0 {
		audience = all
	}
	publish := c.Single
	if l.Batched {
		publish = c.Batched
	}
	// a channel's messages and windows are worked on once for all its subscribers
	ns += (l.Messages*publish + writes*c.Frame) / audience
	return ns / 1e9
}

// memory is what one connection of the load takes, in bytes.
func (c Costs) memory(l Load) float64 {
	writes, bytes, _ := l.perConnection()
	own := c.Idle + c.Kernel
	if writes > 0 {
		own += spare * bytes / writes
	}
	if l.Audience > 0 {
		own += c.Channel / l.Audience
	}
	return own
}

// Limit is how far a load can grow on a machine.
func (m Machine) Limit(c Costs, l Load) Limit {
	_, _, wire := l.perConnection()
	n, by := m.Memory*memoryUse/c.memory(l), "memory"
	if card := m.Gbit * 1e9 / 8 * cardUse / max(wire, 1e-9); card < n {
		n, by = card, "card"
	}
	cores := n
	for range 50 { // the cost of a write depends on how many there are: settle on it
		if share := c.core(l, cores/m.Cores, cores); share > 0 {
			cores = (cores + m.useful()/share) / 2
		}
	}
	if c.core(l, n/m.Cores, n)*n > m.useful() && cores < n {
		n, by = cores, "cores"
	}
	return Limit{n, n * l.Messages, n * wire * 8 / 1e9, by}
}
