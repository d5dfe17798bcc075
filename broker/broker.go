package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
)

// Config is what a broker needs to know. New copies it.
type Config struct {
	// Policy returns the policy of a channel. It is asked when a channel is made, without a lock held,
	// possibly more than once for one channel. nil: the defaults for all channels.
	Policy func(channel string) Policy

	// Subscriber makes the subscriber of a channel when its first reader joins. It is called with the
	// channel's lock held and must not call back, but for Name. nil: no live delivery.
	Subscriber func(c *Channel) Subscriber

	// Awaiting returns the readers that have waited for a channel whose policy is Awaited: their subscriber, how many they are, and the
	// epoch of the position that Vacant has returned to them. It is called before the first change, or the first reader that joins, with the channel's lock
	// held, and must not call back, but for Name. nil: nobody waits.
	Awaiting func(c *Channel, seq uint64) (s Subscriber, readers int, epoch string)

	// Journal gives changes their order and durability. nil: Memory.
	Journal Journal

	// Store keeps the channels whose policy is Durable. nil: they are as all others.
	Store Store

	// Cluster is the other processes that own channels. nil: there is none, and all channels are owned here.
	Cluster Cluster

	// Panic is called with panics in the expirers, which go on; nil: they end the process.
	Panic contain.Hook

	// Channels is the most channels there may be at once; 1048576. Negative: no limit.
	Channels int
}

// Subscriber gets the applied changes of a channel while readers are joined. Its methods are called with the channel's
// lock held, in the order of the log: they must not block or call the broker.
type Subscriber interface {
	// Apply delivers a change. The struct is valid during the call only; see Change for what may be kept.
	Apply(c *Change)

	// Reset is called when the log was lost: what follows continues r.Position, where r.State is true.
	Reset(r Reply)
}

// Breaker is a Subscriber that can be given up.
type Breaker interface {
	// Break is called when a change has stopped half-way and what is in memory of the channel is dropped: readers must
	// be ended, and join again. Called like Subscriber.
	Break()
}

// Limiter is a Subscriber whose capacity is bounded.
type Limiter interface {
	// Full reports whether the subscriber has more than it can deliver. Publish then returns ErrFull and changes
	// nothing. Called like Subscriber.
	Full() bool
}

const defaultChannels = 1 << 20

// Broker is a set of channels. All methods may be called concurrently.
type Broker struct {
	// Set once by New.
	config   Config
	journal  Journal
	inMemory bool // journal is Memory
	seed     maphash.Seed
	start    time.Time // what times count from; monotonic
	random   string    // of this incarnation: the first part of every epoch
	first    string    // epoch of the slots that never had another
	stop     chan struct{}
	expirers [expirerCount]expirer
	done     sync.WaitGroup // one for each expirer

	// Atomic.
	closed   atomic.Bool
	epochs   atomic.Uint64 // numbers given to epochs
	channels atomic.Int64
	policies atomic.Pointer[[]*Policy]

	shards [shardCount]shard
}

// New makes a broker and starts its expirers. Close stops them.
func New(config Config) (*Broker, error) {
	b := &Broker{
		config:  config,
		journal: config.Journal,
		seed:    maphash.MakeSeed(),
		start:   time.Now(),
		random:  strings.ToLower(rand.Text()[:12]),
		stop:    make(chan struct{}),
	}
	if b.journal == nil {
		b.journal = Memory{}
	}
	_, b.inMemory = b.journal.(Memory)
	b.config.Channels = limit(config.Channels, defaultChannels)
	b.policies.Store(new([]*Policy))
	b.first = b.newEpoch()
	for i := range b.shards {
		s := &b.shards[i]
		s.channels = make(map[string]*Channel)
		s.broker = b
		s.expirer = &b.expirers[i%expirerCount]
	}
	for i := range b.expirers {
		e := &b.expirers[i]
		e.wake = make(chan struct{}, 1)
		e.armed = never
		config.Panic.Loop(&b.done, "broker expirer", b.closed.Load, func() { e.run(b) }, nil) // stopped and waited for by Close
	}
	return b, nil
}

// Close stops expiry and closes the journal and the store. Calls after the first do nothing.
func (b *Broker) Close() error {
	if !b.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(b.stop)
	b.done.Wait()
	err := b.journal.Close()
	if b.config.Store != nil {
		err = errors.Join(err, b.config.Store.Close())
	}
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// now is the time since New in nanoseconds.
func (b *Broker) now() int64 { return int64(time.Since(b.start)) }

// newEpoch returns an epoch that was never used before: 12 random characters, which differ from process to process, and
// a number. All of them are from a-z and 0-9.
func (b *Broker) newEpoch() string {
	var buffer [32]byte
	epoch := append(buffer[:0], b.random...)
	return string(strconv.AppendUint(epoch, b.epochs.Add(1)-1, 36))
}
