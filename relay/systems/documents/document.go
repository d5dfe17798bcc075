package documents

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"weir/relay/cluster"
	"weir/relay/systems/documents/content"
)

// document is one sequenced log and what it has come to. Everything that happens to it is serialised by its lock.
type document struct {
	// Set once.
	set     *Documents
	id      string
	channel string // whose policy and grants are the document's, and whose owner has it

	moved atomic.Bool // another node has owned it since it was made: what is here may be old

	// Guarded by mu.
	mu           sync.Mutex
	kind         content.Kind
	epoch        string // of this log; changes when a document is lost, or deleted and made again
	version      uint64
	body         content.Body // nil: not in memory
	since        int          // operations since the last snapshot
	bytes        int          // of those
	broadcasters []broadcaster
	editors      []*editor
	cursors      []*cursor
	holders      int // editors and requests
	touched      time.Time
	queue        []step // what waits for the disk
	saved        bool   // the store has a snapshot
	draining     bool   // drain runs
	unconfirmed  bool   // the disk has refused an operation: nothing of the document is sent before it has stored all of them
	closed       bool   // it has left Documents
}

// use calls f with the lock held, and the document in memory and of a kind ("": of any).
func (d *document) use(kind content.Kind, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(kind); err != nil {
		return err
	}
	return f()
}

// release gives back what get gave.
func (d *document) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holders--
	d.touched = d.set.now()
}

// left reports whether another node owns the document by now. Its editors are ended then: they come back, and go on there.
func (d *document) left() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owned() != nil
}

// owned returns cluster.ErrNotOwner if another node owns the document, or has owned it since it was made. Its editors are ended then, and it is closed. The
// caller holds mu.
func (d *document) owned() error {
	if !d.moved.Load() && !d.set.store.Host.Elsewhere(d.channel) {
		return nil
	}
	d.leave()
	return cluster.ErrNotOwner
}

// leave closes the document, of which there may be more elsewhere than is here. The caller holds mu.
func (d *document) leave() {
	d.moved.Store(true)
	for _, ed := range d.editors {
		ed.end(closeMoved, comeBack)
	}
	if !d.closed {
		d.close()
	}
}

// close takes the document out of those that are open. The caller holds mu.
func (d *document) close() {
	d.body, d.broadcasters, d.closed = nil, nil, true
	d.set.open.Delete(d.id)
	d.set.number.Add(-1)
}

// load has the document in memory, and of a kind ("": of any). The caller holds mu.
func (d *document) load(kind content.Kind) error {
	d.touched = d.set.now()
	if err := d.owned(); err != nil {
		return err
	}
	if err := d.confirm(); err != nil {
		return err
	}
	if d.body == nil {
		h, log, ok, err := d.set.store.Load(d.id)
		if err != nil {
			return err
		}
		if d.saved = ok; !ok {
			h = content.Head{Kind: kind, Epoch: d.epoch}
		}
		if err := d.restore(h, log); err != nil {
			return err
		}
		d.set.counts.loads.Inc()
		if err := d.owned(); err != nil { // by now
			return err
		}
	}
	if !d.saved && len(d.editors) == 0 && kind != "" && d.kind != kind { // it has not been begun yet
		if err := d.restore(content.Head{Kind: kind, Epoch: d.epoch}, nil); err != nil {
			return err
		}
	}
	switch {
	case !d.saved && kind == "":
		return errNone
	case kind != "" && d.kind != kind:
		return errKind
	}
	return nil
}

// confirm returns an error as long as operations of the document that the disk had refused are not stored. It tries
// again by itself. The caller holds mu.
func (d *document) confirm() error {
	if !d.unconfirmed {
		return nil
	}
	if err := d.set.store.OnDisk(d.id); err != nil {
		return err
	}
	d.unconfirmed = false
	return nil
}

// restore makes the document of a snapshot and a log.
func (d *document) restore(h content.Head, log []*content.Entry) error {
	k, ok := content.Kinds[h.Kind]
	if !ok { // only asked for
		return nil
	}
	b := k.Empty()
	if h.Content != nil {
		if err := b.Restore(h.Content, h.Version); err != nil {
			return err
		}
	}
	version, since, bytes := h.Version, 0, 0
	for _, e := range log {
		if err := b.Replay(e, e.Version <= h.Version); err != nil {
			return err
		}
		if e.Version > h.Version {
			version = e.Version
			since++
			bytes += e.Size()
		}
	}
	if h.Epoch == "" {
		h.Epoch = newEpoch()
	}
	d.kind, d.epoch, d.version, d.body, d.since, d.bytes = h.Kind, h.Epoch, version, b, since, bytes
	return nil
}

// newEpoch is 16 random hexadecimal digits.
func newEpoch() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// ready returns an error if the document can take no operation now. The caller holds mu.
func (d *document) ready() error {
	if d.set.closed.Load() || len(d.queue) >= maxQueue {
		return errOverloaded
	}
	for _, o := range d.broadcasters {
		if o.full() {
			return errOverloaded
		}
	}
	return nil
}

// append makes the next operation of the log, which the body has applied. When it is stored, done is called, which may be
// nil, and it is sent to everybody. by made it; nil for a backend. The caller holds mu. On an error nothing has changed.
func (d *document) append(e *content.Entry, by *editor, done func(err error)) error {
	e.Version, e.At = d.version+1, d.set.now().UnixMilli()
	if !d.saved {
		// What the log begins with comes first: a log without it would be taken for what was deleted.
		if _, err := d.set.store.Save(d.id, d.kind, d.epoch, d.version, content.Kinds[d.kind].Empty().AppendContent); err != nil {
			return err
		}
		d.saved = true
	}
	receipt, err := d.set.store.Append(d.id, e)
	if err != nil {
		return err
	}
	d.version++
	d.since++
	d.bytes += e.Size()
	d.set.counts.operations.Inc()
	d.whenStored(receipt, func(err error) {
		if done != nil {
			done(err)
		}
		if err == nil {
			d.broadcast(e, by)
		}
	})
	return nil
}

// snapshotIfDue makes a snapshot if it is time. The caller holds mu, after the body has taken the last operation.
func (d *document) snapshotIfDue() {
	if often := content.Kinds[d.kind].Often; often > 0 && (d.since >= often || d.bytes >= content.SnapshotBytes) {
		d.snapshot()
	}
}

// snapshot saves the document as it is now. If that fails, the next operation tries again. The caller holds mu.
func (d *document) snapshot() {
	if _, err := d.set.store.Save(d.id, d.kind, d.epoch, d.version, d.body.AppendContent); err != nil {
		d.set.store.Host.Log().Warn("snapshot of a document failed", slog.String("document", d.id), slog.String("error", err.Error()))
		return
	}
	if !content.Kinds[d.kind].KeepsLog {
		d.set.store.Trim(d.id)
	}
	d.saved = true
	d.since, d.bytes = 0, 0
	d.set.counts.snapshots.Inc()
}

// unload takes a document out of memory that has not been used for a while: all of it if nothing holds it, else its body
// only. It reports whether the document is closed.
func (d *document) unload(now time.Time, idle time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.draining || d.confirm() != nil || now.Sub(d.touched) < idle || idle > 0 && d.holders > 0 && d.body == nil {
		return false
	}
	if d.holders > 0 && idle == 0 {
		return false
	}
	if d.body != nil && d.saved {
		if leaving := content.Kinds[d.kind].Leaving; leaving > 0 && d.since >= leaving {
			d.snapshot()
		}
	}
	d.body = nil
	if d.holders > 0 {
		return false
	}
	d.close()
	return true
}
