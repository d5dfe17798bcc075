package durable

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"weir/broker/ledger"
	"weir/internal/contain"
)

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
	d.looks <- struct{}{}
	defer func() { <-d.looks }()
	if d.fenced.Swap(false) {
		d.session = ""
		for p := range d.config.Partitions {
			if d.open(p) {
				d.names(p, d.config.Owner.Lost)
			}
		}
	}
	var wanted []int
	for p := range d.config.Partitions {
		mine, open := d.config.Owner.Owns(p)
		switch serves := d.ledger.Serves(p); {
		case open && !serves:
			wanted = append(wanted, p)
		case !mine && serves: // Lose has been overtaken
			d.ledger.Drop(p)
		}
	}
	if len(wanted) > 0 {
		d.say(d.take(ctx, wanted))
	}
	if now := time.Now(); d.session != "" && now.Sub(d.tidied) > tidyEvery {
		d.tidied = now
		for channel := range d.behind {
			if !d.serve(channel) { // the others would fail, too
				break
			}
		}
		d.tidy(ctx)
	}
}

// serve has a channel in memory go on with what is stored. It reports whether there is nothing left to do.
func (d *Durable) serve(channel string) bool {
	p := d.config.Partition(channel)
	if !d.ledger.Serves(p) || !d.open(p) || d.config.Owner.Served(channel) {
		delete(d.behind, channel)
		return true
	}
	d.behind[channel] = struct{}{}
	return false
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
		d.config.Log.Warn("durable channels cannot be taken over; trying again", slog.String("error", text))
	}
	d.said = text
	d.untaken.Store(&err)
}

// Untaken returns why durable channels that are this node's are not taken over, as far as that was tried; nil: nothing is in the way.
func (d *Durable) Untaken() error {
	if err := d.untaken.Load(); err != nil {
		return *err
	}
	return nil
}

// errUnsafe is why a partition has to wait: it is looked at again before long.
var errUnsafe = errors.New("earlier writes of this node to them are not confirmed yet")

// take takes partitions that this process owns.
func (d *Durable) take(ctx context.Context, wanted []int) error {
	defer d.moved.tell()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, takeLimit)
	defer cancel()
	if d.session == "" {
		if err := d.begin(ctx); err != nil {
			return err
		}
	}
	var claims []ledger.Claim
	var unsafe error
	for _, p := range wanted {
		if d.ledger.Unsafe(p) { // it had the partition, and has lost it since: no record belongs to two refs, also where the table has forgotten the one before
			unsafe = errUnsafe
			continue
		}
		r, err := d.claim(ctx, p)
		if err != nil {
			return err
		}
		claims = append(claims, ledger.Claim{Partition: p, Refs: r.Refs, Seed: r.Seed})
	}
	if err := d.ledger.Take(ctx, claims); err != nil {
		return err
	}
	for _, c := range claims {
		p := c.Partition
		d.taken[p] = c.Refs[len(c.Refs)-1].Order
		if mine, _ := d.config.Owner.Owns(p); !mine || d.table.row(p).Order != d.taken[p] { // any more, or another process has had it meanwhile
			d.ledger.Drop(p)
			continue
		}
		d.names(p, func(channel string) { d.serve(channel) })
	}
	if len(claims) > 0 {
		d.config.Log.Info("durable channels taken over", slog.Int("partitions", len(claims)), slog.Duration("took", time.Since(begun)))
	}
	return unsafe
}

// slot is the one of a node, or the first that is nobody's.
func (t *table) slot(node string) (int, slotRow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := 0
	for t.slots[slot].revision > 0 && t.slots[slot].Node != node {
		slot++
	}
	return slot, t.slots[slot]
}

// begin finds a slot and begins a session there.
func (d *Durable) begin(ctx context.Context) error {
	slot, row := d.table.slot(d.config.Node)
	key := slotPrefix + strconv.Itoa(slot)
	if row.revision > 0 && row.Session != d.config.Session && d.config.Owner.Alive(row.Session) {
		return fmt.Errorf("another running node has the name %q, too: give each node its own cluster.node", d.config.Node)
	}
	if row.Session != d.config.Session {
		row.Node, row.Session = d.config.Node, d.config.Session
		if err := d.update(ctx, key, row, row.revision); err != nil {
			return err
		}
	}
	// The table is read through a server that may lag behind. What has come of it must be as new as that row, so that no log is made that was made before, and none purged that others have
	// to read.
	d.table.mu.Lock()
	row, shelf, seen := d.table.slots[slot], d.table.shelf, d.table.seen
	err := d.table.trouble()
	d.table.mu.Unlock()
	if err == nil && seen < row.revision {
		err = errors.New("this node has not yet read its own last write to the cluster's table")
	}
	if err != nil {
		return err
	}
	session, _, err := d.ledger.Begin(ctx, slot, ledger.Made{Log: row.Made, Shelf: shelf.Made})
	if err == nil && !shelf.Made {
		shelf.Made = true
		err = d.update(ctx, shelfKey, shelf, shelf.revision)
	}
	if err == nil && !row.Made { // before anything is written to it
		row.Made = true
		err = d.update(ctx, key, row, row.revision)
	}
	if err != nil {
		return err
	}
	d.slot, d.session = slot, session
	return nil
}

// claim has this process be the last one in the refs of a partition.
func (d *Durable) claim(ctx context.Context, p int) (refsRow, error) {
	r := d.table.row(p)
	mine := func(r ledger.Ref) bool { return r.Session == d.session && r.To == 0 }
	if n := len(r.Refs); n > 0 && !r.unsure && mine(r.Refs[n-1]) && r.Refs[n-1].Order != d.taken[p] {
		return r, nil // by an attempt before: nothing was written since
	}
	r.Order++
	if latest := r.Generation; slices.ContainsFunc(r.Refs, func(r ledger.Ref) bool { return r.To == 0 && r.Generation == latest && !mine(r) }) {
		r.Generation++ // who was lost may have told of more than is in its log; of those before it the epochs tell since
		r.Seed = ""
	}
	if r.Seed == "" {
		r.Seed = rand.Text()
	}
	next := d.ledger.Position()
	if next == 0 {
		return r, ledger.ErrNotTaken
	}
	r.Refs = slices.Clone(r.Refs)
	for i := range r.Refs {
		if mine(r.Refs[i]) {
			r.Refs[i].To = next - 1
		}
	}
	r.Refs = append(r.Refs, ledger.Ref{Order: r.Order, Slot: d.slot, Session: d.session, Generation: r.Generation, From: next})
	return r, d.updateRefs(ctx, p, r)
}

// Give ends to serve a partition that is handed over: all that was taken is in the log, and the table says up to where, so that nobody has to end a log that this
// process writes to for other partitions. The partition is served on after an error.
func (d *Durable) Give(ctx context.Context, p int) error {
	if d == nil {
		return nil
	}
	defer d.moved.tell() // it may be served on
	r := d.table.row(p)
	refs, err := d.ledger.Give(ctx, p, r.Refs)
	if errors.Is(err, ledger.ErrNotTaken) { // it may just be taken, and is served then
		select {
		case d.looks <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("durable channels are being taken over at the moment: %w", ctx.Err())
		}
		defer func() { <-d.looks }()
		r = d.table.row(p)
		if refs, err = d.ledger.Give(ctx, p, r.Refs); errors.Is(err, ledger.ErrNotTaken) {
			return d.withdraw(ctx, p, r)
		}
	}
	if err != nil {
		return fmt.Errorf("hand durable channels over: %w", err)
	}
	r.Refs = refs
	if err := d.updateRefs(ctx, p, r); err != nil {
		d.ledger.Drop(p) // it may have been written: it is taken anew
		return err
	}
	return nil
}

// withdraw takes back the claim to a partition that was not taken yet. The next owner has to read what there was anyway.
func (d *Durable) withdraw(ctx context.Context, p int, r refsRow) error {
	last := len(r.Refs) - 1
	claimed := last >= 0 && d.session != "" && r.Refs[last].Session == d.session && r.Refs[last].To == 0
	if r.unsure || claimed && r.Refs[last].Order == d.taken[p] {
		return ErrAway // it is taken anew before long, and can be given then
	}
	if !claimed {
		return nil
	}
	r.Refs = slices.Clone(r.Refs[:last]) // nothing was written there
	return d.updateRefs(ctx, p, r)
}

// Lose gives a partition up that is another process's.
func (d *Durable) Lose(p int) {
	if d != nil {
		d.ledger.Drop(p)
		d.moved.tell()
	}
}

// tidy has the table forget refs that nobody needs, and lets the log go that no partition needs.
func (d *Durable) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tidyEvery)
	defer cancel()
	for p := range d.config.Partitions {
		r := d.table.row(p)
		if len(r.Refs) < 2 || !d.ledger.Serves(p) {
			continue
		}
		refs := d.ledger.Refs(p, r.Refs)
		if len(refs) == len(r.Refs) || len(refs) == 0 || !d.ledger.Serves(p) {
			continue
		}
		r.Refs = refs
		if d.updateRefs(ctx, p, r) != nil {
			return
		}
	}
	d.ledger.Purge(func() uint64 { return d.table.reserved(d.slot, d.session, d.ledger.Serves) })
}
