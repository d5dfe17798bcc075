package durable

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/broker/ledger"
	"weir/internal/contain"
	"weir/internal/mesh"
	"weir/relay/problem"
)

// Config is what is needed to serve durable channels.
type Config struct {
	Node       string
	Session    string // of the process in the cluster
	Partitions int
	Partition  func(channel string) int
	Policy     func(channel string) broker.Policy
	Owner      Owner
	Observe    func(commit time.Duration)
	Log        *slog.Logger
	Panic      contain.Hook
	Done       *sync.WaitGroup // of all goroutines
}

// Options are what is needed for channels that are kept.
type Options struct {
	Policy  func(channel string) broker.Policy
	Observe func(commit time.Duration) // of each frame of the log
}

// Owner is the cluster as this package sees it. Its methods may block.
type Owner interface {
	// Owns reports whether this process owns a partition, and whether that is open, so that its memory channels are served: it is not while it is handed over.
	Owns(partition int) (mine, open bool)

	// Ready reports whether what the table says can be relied on.
	Ready() bool

	// Alive reports whether a process of the cluster is there.
	Alive(session string) bool

	// Names calls f with the name of each channel in memory until it returns false.
	Names(f func(channel string) bool)

	// Served is called with the channels in memory of a partition that is served here from now on. It reports whether they go on; otherwise it is called again.
	Served(channel string) bool

	// Lost is called with those of one that is not any more: what is in memory of them may be more than what is kept.
	Lost(channel string)
}

// ErrAway is why a durable channel is not served, though its node has its memory channels.
var ErrAway error = problem.Storage.With("the durable channels of this partition are being taken over, or the NATS servers cannot store them at the moment: try again")

// Durable serves the durable channels of a node. Its methods may be called of nil: then there are none.
type Durable struct {
	Queues // what may have to wait for the shelf

	// Set once.
	config Config
	mesh   mesh.Node      // by Join
	ledger *ledger.Ledger // as well
	wake   chan struct{}  // wakes the goroutine; room for one

	fenced atomic.Bool // the ledger has lost its log
	moved  moved

	untaken atomic.Pointer[error] // see Untaken

	looks chan struct{} // room for one: who has put something in takes partitions, or has none taken, and owns what follows

	// Owned by the goroutine, while it looks.
	slot    int
	session string // of the ledger; "": none
	tidied  time.Time
	said    string
	behind  map[string]struct{} // channels in memory that do not go on yet
	taken   map[int]uint64      // order of the ref by which a partition was taken last

	table table // has its lock
}

// New takes rows from now on.
func New(c Config) *Durable {
	return &Durable{Queues: Queues{hook: c.Panic, done: c.Done}, config: c, wake: make(chan struct{}, 1), looks: make(chan struct{}, 1), behind: make(map[string]struct{}), taken: make(map[int]uint64), table: newTable(), moved: moved{c: make(chan struct{})}}
}

// Join makes the store. Nothing is served before Start.
func (d *Durable) Join(node mesh.Node) {
	if d == nil {
		return
	}
	c := d.config
	d.mesh = node
	d.ledger = ledger.New(ledger.Config{Partitions: c.Partitions, Partition: c.Partition, Policy: c.Policy, Logs: node.Log, Shelf: node.Shelf(), Observe: c.Observe,
		Log: c.Log, Panic: c.Panic, Fenced: func() {
			d.fenced.Store(true)
			d.Wake()
		}})
}

// Keeps reports whether a channel is durable.
func (d *Durable) Keeps(channel string) bool {
	return d != nil && d.config.Policy(channel).Durable
}

// Away reports whether a channel is durable and not served here.
func (d *Durable) Away(channel string, partition int) bool {
	return d.Behind(partition) && d.Keeps(channel)
}

// Behind reports whether the durable channels of a partition are not served here.
func (d *Durable) Behind(partition int) bool { return d != nil && !d.ledger.Serves(partition) }

// Unserved reports whether this process owns the partition of a durable channel that it does not serve yet.
func (d *Durable) Unserved(channel string) bool {
	if d == nil {
		return false
	}
	p := d.config.Partition(channel)
	return d.Away(channel, p) && d.open(p)
}

// open reports whether a partition is to be served here.
func (d *Durable) open(p int) bool {
	_, open := d.config.Owner.Owns(p)
	return open
}

// Served waits until a channel that this process owns is served, if it is durable, until a time at most. It is called where that holds up nothing else.
func (d *Durable) Served(channel string, until time.Time) error {
	if !d.Unserved(channel) {
		return nil
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		moved := d.moved.next()
		if !d.Unserved(channel) {
			return nil
		}
		select {
		case <-moved:
		case <-timer.C:
			return ErrAway
		}
	}
}

// moved tells who waits that what is served here, or owned, has changed.
type moved struct {
	mu sync.Mutex
	c  chan struct{} // closed with the next change; guarded by mu
}

func (m *moved) next() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.c
}

func (m *moved) tell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.c)
	m.c = make(chan struct{})
}

// Store is the store; nil if there is none.
func (d *Durable) Store() *ledger.Ledger {
	if d == nil {
		return nil
	}
	return d.ledger
}

// InOrder calls f at once, or for a durable channel where it may be waited for.
func (d *Durable) InOrder(channel string, f func()) {
	if !d.Keeps(channel) {
		f()
		return
	}
	d.do(channel, f)
}

// Publish makes a publication to a durable channel that another process has handed on, with submit, and answers it when it is safe.
func (d *Durable) Publish(channel string, p broker.Publication, limit time.Duration, submit func(channel string, p *broker.Publication) (broker.Receipt, error), answer func(at broker.Position, err error)) {
	channel, p.Group, p.Key, p.Data = strings.Clone(channel), strings.Clone(p.Group), strings.Clone(p.Key), bytes.Clone(p.Data)
	p.IdempotencyKey, p.Exclude = strings.Clone(p.IdempotencyKey), strings.Clone(p.Exclude)
	until := time.Now().Add(limit)
	d.do(channel, func() {
		err := d.Served(channel, until)
		var receipt broker.Receipt
		if err == nil {
			receipt, err = submit(channel, &p)
		}
		if err != nil {
			answer(broker.Position{}, err)
			return
		}
		d.settle(receipt, answer)
	})
}

// Wake has the goroutine look at what there is to be taken.
func (d *Durable) Wake() {
	if d == nil {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Close ends the store in order.
func (d *Durable) Close() {
	if d == nil {
		return
	}
	if err := d.ledger.Close(); err != nil {
		d.config.Log.Error("changes of durable channels could not be stored before the shutdown", slog.String("error", err.Error()))
	}
}
