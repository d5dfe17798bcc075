package durable

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
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
	// Owns reports whether this process owns a partition, and serves its memory channels.
	Owns(partition int) bool

	// Ready reports whether what the table says can be relied on.
	Ready() bool

	// Alive reports whether a process of the cluster is there.
	Alive(session string) bool

	// Names calls f with the name of each channel in memory until it returns false.
	Names(f func(channel string) bool)

	// Served is called with the channels in memory of a partition that is served here from now on.
	Served(channel string)

	// Lost is called with those of one that is not any more: what is in memory of them may be more than what is kept.
	Lost(channel string)
}

// ErrAway is why a durable channel is not served, though its node has its memory channels.
var ErrAway error = problem.Storage.With("the durable channels of this partition are just being taken over, or the cluster's servers do not keep them at the moment: try again")

// Durable serves the durable channels of a node. Its methods may be called of nil: then there are none.
type Durable struct {
	Queues // what may have to wait for the shelf

	// Set once.
	config Config
	mesh   mesh.Node      // by Join
	Ledger *ledger.Ledger // as well
	wake   chan struct{}  // wakes the goroutine; room for one

	fenced atomic.Bool // the ledger has lost its log

	// Owned by the goroutine.
	slot    int
	session string // of the ledger; "": none
	tidied  time.Time
	said    string

	// Guarded by mu.
	mu    sync.Mutex
	slots map[int]slotRow
	refs  map[int]refsRow // by partition
}

// slotRow says whose a slot is.
type slotRow struct {
	Node     string `json:"node"`
	Session  string `json:"session"`
	revision uint64
}

// refsRow is where to read what the shelf may lack of a partition.
type refsRow struct {
	Order      uint64       `json:"order"` // of the last ref ever
	Generation uint64       `json:"generation"`
	Refs       []ledger.Ref `json:"refs"`
	revision   uint64
}

// New takes rows from now on.
func New(c Config) *Durable {
	return &Durable{Queues: Queues{hook: c.Panic, done: c.Done}, config: c, wake: make(chan struct{}, 1), slots: make(map[int]slotRow), refs: make(map[int]refsRow)}
}

// Join makes the store. Nothing is served before Start.
func (d *Durable) Join(node mesh.Node) {
	if d == nil {
		return
	}
	c := d.config
	d.mesh = node
	d.Ledger = ledger.New(ledger.Config{Partitions: c.Partitions, Partition: c.Partition, Policy: c.Policy, Logs: node.Log, Shelf: node.Shelf(), Observe: c.Observe,
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
func (d *Durable) Behind(partition int) bool { return d != nil && !d.Ledger.Serves(partition) }

// Unserved reports whether this process owns the partition of a durable channel that it does not serve yet.
func (d *Durable) Unserved(channel string) bool {
	if d == nil {
		return false
	}
	p := d.config.Partition(channel)
	return d.Away(channel, p) && d.config.Owner.Owns(p)
}

// Served waits until a channel that this process owns is served, if it is durable, until a time at most. It is called where that holds up nothing else.
func (d *Durable) Served(channel string, until time.Time) error {
	for d.Unserved(channel) {
		if time.Now().After(until) {
			return ErrAway
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Store is the store; nil if there is none.
func (d *Durable) Store() *ledger.Ledger {
	if d == nil {
		return nil
	}
	return d.Ledger
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

// The prefixes of the rows.
const (
	slotPrefix = "s."
	refsPrefix = "l."
)

// Row takes a row of the table. It reports whether it is of this package.
func (d *Durable) Row(key string, value []byte, revision uint64) bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := numbered(key, slotPrefix); ok {
		if r := (slotRow{revision: revision}); d.slots[n].revision < revision && json.Unmarshal(value, &r) == nil {
			d.slots[n] = r
		}
		return true
	}
	if p, ok := numbered(key, refsPrefix); ok {
		if r := (refsRow{revision: revision}); d.refs[p].revision < revision && json.Unmarshal(value, &r) == nil {
			d.refs[p] = r
		}
		return true
	}
	return false
}

func numbered(key, prefix string) (int, bool) {
	text, ok := strings.CutPrefix(key, prefix)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n >= 0
}

// update writes a row, and knows of it at once.
func (d *Durable) update(ctx context.Context, key string, row any, revision uint64) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	written, err := d.mesh.Update(ctx, key, value, revision)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	d.Row(key, value, written)
	return nil
}

// How often it is looked what there is to take, to be tidied up, and how long taking may take.
const (
	lookEvery = 50 * time.Millisecond
	tidyEvery = time.Second
	takeLimit = 30 * time.Second
)

// Start begins to take what this process owns, until ctx ends.
func (d *Durable) Start(ctx context.Context) {
	if d != nil {
		d.config.Panic.Loop(d.config.Done, "cluster table", contain.Done(ctx), func() { d.run(ctx) }, nil) // ended by ctx
	}
}

func (d *Durable) run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if d.config.Owner.Ready() {
			d.look(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-ticker.C:
		}
	}
}

// look takes what is to be taken.
func (d *Durable) look(ctx context.Context) {
	if d.fenced.Swap(false) {
		d.session = ""
		for p := range d.config.Partitions {
			if d.config.Owner.Owns(p) {
				d.names(p, d.config.Owner.Lost)
			}
		}
	}
	var wanted []int
	for p := range d.config.Partitions {
		switch owns := d.config.Owner.Owns(p); {
		case owns && !d.Ledger.Serves(p):
			wanted = append(wanted, p)
		case !owns && d.Ledger.Serves(p): // it was taken over, and Lose has been overtaken
			d.Ledger.Drop(p)
		}
	}
	if len(wanted) > 0 {
		d.say(d.take(ctx, wanted))
	}
	if now := time.Now(); d.session != "" && now.Sub(d.tidied) > tidyEvery {
		d.tidied = now
		d.tidy(ctx)
	}
}

// names calls f with the durable channels of a partition that are in memory.
func (d *Durable) names(p int, f func(channel string)) {
	d.config.Owner.Names(func(name string) bool {
		if d.config.Partition(name) == p && d.Keeps(name) {
			f(name)
		}
		return true
	})
}

// say logs why partitions are not taken, once.
func (d *Durable) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != d.said {
		d.config.Log.Warn("durable channels are not taken over; trying on", slog.String("error", text))
	}
	d.said = text
}

// take takes partitions that this process owns.
func (d *Durable) take(ctx context.Context, wanted []int) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, takeLimit)
	defer cancel()
	if d.session == "" {
		if err := d.begin(ctx); err != nil {
			return err
		}
	}
	var claims []ledger.Claim
	for _, p := range wanted {
		refs, err := d.claim(ctx, p)
		if err != nil {
			return err
		}
		claims = append(claims, ledger.Claim{Partition: p, Refs: refs})
	}
	if err := d.Ledger.Take(ctx, claims); err != nil {
		return err
	}
	for _, p := range wanted {
		if !d.config.Owner.Owns(p) { // any more
			d.Ledger.Drop(p)
			continue
		}
		d.names(p, d.config.Owner.Served)
	}
	d.config.Log.Info("durable channels taken over", slog.Int("partitions", len(wanted)), slog.Duration("took", time.Since(begun)))
	return nil
}

// begin finds a slot and begins a session there.
func (d *Durable) begin(ctx context.Context) error {
	slot, row, revision := 0, slotRow{Node: d.config.Node, Session: d.config.Session}, uint64(0)
	d.mu.Lock()
	for d.slots[slot].revision > 0 && d.slots[slot].Node != d.config.Node {
		slot++
	}
	there := d.slots[slot]
	d.mu.Unlock()
	if revision = there.revision; revision > 0 && there.Session != d.config.Session && d.config.Owner.Alive(there.Session) {
		return fmt.Errorf("another process that is there is called %s as well: give each node a cluster.node of its own", d.config.Node)
	}
	if there.Session != d.config.Session {
		if err := d.update(ctx, slotPrefix+strconv.Itoa(slot), row, revision); err != nil {
			return err
		}
	}
	session, _, err := d.Ledger.Begin(ctx, slot)
	if err != nil {
		return err
	}
	d.slot, d.session = slot, session
	return nil
}

// claim has this process be the last one in the refs of a partition.
func (d *Durable) claim(ctx context.Context, p int) ([]ledger.Ref, error) {
	d.mu.Lock()
	r := d.refs[p]
	d.mu.Unlock()
	if n := len(r.Refs); n > 0 && r.Refs[n-1].Session == d.session && r.Refs[n-1].To == 0 {
		return r.Refs, nil // by an attempt before
	}
	r.Order++
	if slices.ContainsFunc(r.Refs, func(r ledger.Ref) bool { return r.To == 0 }) {
		r.Generation++
	}
	r.Refs = append(slices.Clone(r.Refs), ledger.Ref{Order: r.Order, Slot: d.slot, Session: d.session, Generation: r.Generation, From: d.Ledger.Position()})
	if err := d.update(ctx, refsPrefix+strconv.Itoa(p), r, r.revision); err != nil {
		return nil, err
	}
	return r.Refs, nil
}

// Give ends to serve a partition that is handed over: all that was taken is in the log, and the table says up to where. It is served on after an error.
func (d *Durable) Give(ctx context.Context, p int) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	r := d.refs[p]
	d.mu.Unlock()
	refs, err := d.Ledger.Give(ctx, p, r.Refs)
	if errors.Is(err, ledger.ErrNotTaken) {
		return nil // the next one has to read what there was anyway
	}
	if err != nil {
		return fmt.Errorf("durable channels: %w", err)
	}
	r.Refs = refs
	if err := d.update(ctx, refsPrefix+strconv.Itoa(p), r, r.revision); err != nil {
		d.Ledger.Drop(p) // it may have been written: it is taken anew
		return err
	}
	return nil
}

// Lose gives a partition up that is another process's.
func (d *Durable) Lose(p int) {
	if d != nil {
		d.Ledger.Drop(p)
	}
}

// tidy has the table forget refs that nobody needs, and lets the log go that no partition needs.
func (d *Durable) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tidyEvery)
	defer cancel()
	for p := range d.config.Partitions {
		d.mu.Lock()
		r := d.refs[p]
		d.mu.Unlock()
		if len(r.Refs) < 2 || !d.Ledger.Serves(p) {
			continue
		}
		refs := d.Ledger.Refs(p, r.Refs)
		if len(refs) == len(r.Refs) || len(refs) == 0 || !d.Ledger.Serves(p) {
			continue
		}
		r.Refs = refs
		if err := d.update(ctx, refsPrefix+strconv.Itoa(p), r, r.revision); err != nil {
			return
		}
	}
	reserved := uint64(1<<63 - 1)
	d.mu.Lock()
	for _, r := range d.refs {
		for _, ref := range r.Refs {
			if ref.Slot == d.slot && (ref.Session != d.session || ref.To != 0) {
				reserved = min(reserved, ref.From)
			}
		}
	}
	d.mu.Unlock()
	d.Ledger.Purge(max(reserved, 1))
}

// Close ends the store in order.
func (d *Durable) Close() {
	if d == nil {
		return
	}
	if err := d.Ledger.Close(); err != nil {
		d.config.Log.Error("durable channels", slog.String("error", err.Error()))
	}
}
