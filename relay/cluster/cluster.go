package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/mesh"
	"weir/relay/cluster/calls"
	"weir/relay/cluster/durable"
	"weir/relay/cluster/forward"
	"weir/relay/cluster/handover"
	"weir/relay/cluster/link"
	"weir/relay/cluster/notices"
	"weir/relay/cluster/parts"
	"weir/relay/cluster/place"
)

// Config is what Open needs.
type Config struct {
	Node       string    // name of this process, which it has after a restart, too
	Partitions int       // of all channels; the same in all processes, for ever
	Place      place.Key // the same
	Shared     []string  // what must be the same in all processes, one setting a line
	Policy     string    // what stood for that in versions that do not know Shared
	Opener     mesh.Opener
	Durable    *durable.Options // nil: all channels are in memory
	Log        *slog.Logger
	Panic      contain.Hook
	Traced     link.Traced
}

// The times of the cluster. They decide how soon something happens, never whether it does.
const (
	tick        = 100 * time.Millisecond
	helloEvery  = 250 * time.Millisecond
	alive       = 2 * time.Second // heard within it
	isolation   = time.Second     // no majority was heard for as long, and then the table could not be written for as long
	probeEvery  = 500 * time.Millisecond
	heardByElse = time.Second            // heard by another one within it: not dead
	lateFrame   = 500 * time.Millisecond // a frame that a hello names has not come for so long
	forgetAfter = 10 * time.Second       // not heard for so long: what it follows here is dropped
	removeAfter = time.Minute
	answerLimit = 2 * time.Second // of a publication that was handed on
	followLimit = 3 * time.Second
)

// Cluster is this process as a member of the cluster. It implements broker.Cluster. Its methods may be called concurrently.
type Cluster struct {
	// Set once by Open, the broker and the handlers by Start.
	config  Config
	session string
	agreed  string // stands for Config.Shared
	node    mesh.Node
	broker  *broker.Broker
	actors  map[string]Actor // by kind of notice
	missed  func(since time.Time)
	started time.Time
	context context.Context
	stop    context.CancelFunc
	done    sync.WaitGroup // of all goroutines
	moves   chan struct{}  // of capacity 1: holds a value while a partition is handed over
	calls   *calls.Workers
	begun   chan struct{}    // closed by Start: what comes before is dropped
	telling chan struct{}    // holds a value if untold is not empty; never closed
	parts   *parts.Store     // has its locks
	kept    *durable.Durable // durable channels; nil: there are none
	notices notices.Log      // has its lock
	handed  handover.Inbox   // has its lock, too

	// Atomic.
	owners   []atomic.Pointer[owner] // by partition; nil: none that is known
	rows     sync.Mutex              // held while a row is noted, each after the other
	table    atomic.Uint64           // revision of the latest row of an owner that was told
	learns   atomic.Bool             // another process is being asked for the rows that it knows
	loaded   atomic.Bool             // the table has been read
	foreign  atomic.Bool             // the table is one of more partitions
	yielding atomic.Bool             // a process that was there before is configured differently; see agree
	leaving  atomic.Bool             // it hands over what it owns, and takes nothing; see Drain
	draining atomic.Bool
	sees     atomic.Bool  // see judge: whoever is not heard is gone, and not this process cut off
	isolated atomic.Bool  // see judge: what it owns may be somebody else's
	ticked   atomic.Int64 // ns from started until the clock last ran
	settled  atomic.Int64 // ns from started until what is heard can be relied on: it was neither cut off nor stopped since
	counts   counts

	// Guarded by mu.
	mu       sync.Mutex
	members  map[string]*member  // by session; this process is none
	replicas map[string]*replica // by channel
	follows  map[uint64]*replica // by id
	waiting  map[uint64]*request // publications and calls that wait for their answer
	number   uint64              // of follows and requests
	routes   map[int]*route      // by partition
	parked   int                 // bytes of requests that wait for an owner
	untold   map[int]time.Time   // partitions whose parts are to be told anew; see retell

	probes   probes
	cutSince time.Time // since when it is isolated; zero: it is not
	resumed  time.Time // when it went on after having been stopped; zero: it was not

	// Owned by watch.
	probed         time.Time // when the table was last asked to be written
	written        time.Time // when it last was, or need not have been
	heardMost      time.Time // when most of the others were last heard
	connectedSince time.Time
	aloneSince     time.Time // since when nobody has been heard, not through the table either
	connected      bool      // most of the others are heard, and hear this one
	alone          bool      // nobody else is there
}

// counts are what has happened since the start.
type counts struct {
	frames, bytes, restarts, forwarded, takeovers, rescued, moved atomic.Uint64
}

// Stats returns the cluster's counters.
func (c *Cluster) Stats() Stats {
	s := Stats{Nodes: 1, Partitions: len(c.owners), Isolated: c.cut(), Frames: c.counts.frames.Load(), Bytes: c.counts.bytes.Load(), Restarts: c.counts.restarts.Load(), Forwarded: c.counts.forwarded.Load(),
		Takeovers: c.counts.takeovers.Load(), Moved: c.counts.moved.Load(), Rescued: c.counts.rescued.Load()}
	for p := range c.owners {
		if o := c.owners[p].Load(); o != nil && o.open {
			s.Owned++
		}
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for session, m := range c.members {
		if c.alive(session, now) {
			s.Nodes++
		}
		s.Waiting += m.link.Waiting()
	}
	s.Replicas = len(c.replicas)
	return s
}

// Handler answers a call of another process. It may block. It may keep the body.
type Handler = calls.Handler

// ErrNoOwner is why something is not done: the process that owns the channel is not reached, or another one is just taking over.
var ErrNoOwner = link.ErrNoOwner

// owner is who owns a partition, as one row of the table says.
type owner struct {
	Node    string `json:"node"`
	Session string `json:"session"`
	From    string `json:"from,omitempty"`   // session of the owner before, that has handed it over
	Pinned  bool   `json:"pinned,omitempty"` // it stays where somebody moved it
	term    uint64 // revision of the row
	row     []byte // as it was told
	open    bool   // of this process's own: it has taken the channels over, and serves
}

// member is another process.
type member struct {
	// Set once.
	session string
	link    *link.Link
	flow    link.Flow // of what it begins to follow here

	// Guarded by Cluster.mu.
	node     string
	since    time.Time // when it was heard first
	heard    time.Time
	hello    link.Hello
	followed map[uint64]string // what it follows here: the channel by id
	in       link.Inbound      // see inbound
	absent   bool              // it has not been heard for a while: its parts are over
	ahead    time.Time         // since when it has known a later row of the table; zero: it does not

	stop chan struct{} // closed when it is removed
}

// replica is a channel that is followed. Guarded by Cluster.mu, but for seq.
type replica struct {
	// Set once.
	channel   string
	partition int
	first     chan firstKept // of capacity 1: what Follow waits for

	id     uint64
	sent   string        // session that was asked; "": none yet
	asked  uint64        // in this term
	term   uint64        // in which it was filled
	loaded bool          // it has been filled once
	epoch  string        // of what came last
	seq    atomic.Uint64 // up to where it is filled, of that epoch; 0: that is not known. Written by the goroutine of the mesh

	refreshed []chan struct{} // closed with what comes next; see Refresh
}

type firstKept struct {
	kept    broker.Kept
	existed bool
	err     error
}

// request is a publication or a call that waits for its answer.
type request struct {
	forward.Answer
	id    uint64
	to    string // session; "": it waits for an owner
	until time.Time

	// Of what is for the owner of a partition, whoever that is; see request. Guarded by Cluster.mu, or set once.
	partition int
	kind      byte
	record    []byte // without the id; nil: it is for one process
	safe      bool   // it may be made twice
	maybe     bool   // it may have been made
	foreign   bool   // another process's: it is made here, or sent back
}

// Open joins the cluster. Before Start the process owns no partition, and publications that are handed on wait. It returns the mesh's error.
func Open(config Config) (*Cluster, error) {
	c := &Cluster{
		config: config, session: rand.Text(), agreed: link.Sum(config.Shared), owners: make([]atomic.Pointer[owner], config.Partitions), started: time.Now(),
		members: make(map[string]*member), replicas: make(map[string]*replica), follows: make(map[uint64]*replica), waiting: make(map[uint64]*request), routes: make(map[int]*route),
		moves: make(chan struct{}, 1), begun: make(chan struct{}),
		telling: make(chan struct{}, 1), untold: make(map[int]time.Time),
	}
	c.calls = calls.New(256, config.Panic, &c.done)
	c.parts = parts.New(config.Partitions, c.partition, c.partsOwner)
	c.context, c.stop = context.WithCancel(context.Background())
	c.keep()
	var err error
	if c.node, err = config.Opener.Open(c.session, inbox{c}); err != nil {
		c.stop()
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	c.kept.Join(c.node)
	return c, nil
}

// Handlers are what a process does for other processes, by kind.
type Handlers struct {
	Calls   map[string]Handler
	Mergers map[string]Merger
	Actors  map[string]Actor

	// Missed is called when notices were missed that nobody has any more: what began before since is to be begun anew.
	Missed func(since time.Time)
}

// Start begins to own partitions and to follow channels.
func (c *Cluster) Start(b *broker.Broker, h Handlers) {
	c.broker, c.parts.Mergers, c.actors, c.missed = b, h.Mergers, h.Actors, h.Missed
	for _, known := range []map[string]Handler{c.own(), c.noticeCalls(), h.Calls} {
		maps.Copy(c.calls.Handlers, known)
	}
	close(c.begun)
	c.settled.Store(int64(time.Since(c.started)))
	c.ticked.Store(c.settled.Load())
	c.config.Panic.Loop(&c.done, "cluster clock", contain.Done(c.context), c.clock, nil) // ended by Close
	c.config.Panic.Loop(&c.done, "cluster table", contain.Done(c.context), c.watch, nil) // as well
	c.config.Panic.Loop(&c.done, "cluster balance", contain.Done(c.context), c.balance, nil)
	c.config.Panic.Loop(&c.done, "cluster parts", contain.Done(c.context), c.tellParts, nil) // as well
	c.kept.Start(c.context)
}

// Close leaves the cluster. The broker is closed after it.
func (c *Cluster) Close() error {
	c.draining.Store(true)
	_ = c.announce()
	c.stop()
	c.kept.Close()
	err := c.node.Close()
	c.mu.Lock()
	for _, m := range c.members {
		close(m.stop)
	}
	clear(c.members)
	waiting := slices.Collect(maps.Values(c.waiting))
	for _, r := range c.routes {
		if !r.local {
			waiting = append(waiting, r.parked...)
			r.parked = nil
		}
	}
	clear(c.waiting)
	c.mu.Unlock()
	for _, q := range waiting {
		q.Err = forward.ErrMaybe
		q.Finish()
	}
	c.done.Wait()
	if err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}

// inbox is what the mesh tells. It implements mesh.Handler.
type inbox struct{ cluster *Cluster }

// running reports whether what comes is of use already.
func (c *Cluster) running() bool {
	select {
	case <-c.begun:
		return c.context.Err() == nil
	default:
		return false
	}
}

// Loaded implements mesh.Handler.
func (i inbox) Loaded() { i.cluster.loaded.Store(true) }

// Trouble returns why clients should not be sent to this process, for /readyz; "" if they may be.
func (c *Cluster) Trouble() string {
	switch {
	case !c.loaded.Load():
		return "the cluster cannot be reached: its table of owners has not been read"
	case c.cut():
		return "this node is cut off from the other nodes of the cluster"
	case c.foreign.Load() || c.yielding.Load():
		return "another node of the cluster is configured differently"
	}
	for p := range c.owners {
		if o := c.owners[p].Load(); o == nil || o.Session == c.session && !o.open {
			return "some partitions have no owner yet"
		}
	}
	return ""
}
