package documents

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"weir/broker"
)

// What a document keeps. A snapshot is made when so many operations, or bytes of them, have come since the last;
// of the newest operations at least keptLeast and at most keptMost stay for those who are behind, or fewer where
// they take more than keptBytes.
const (
	snapshotOps   = 500
	snapshotBytes = 256 << 10
	keptLeast     = 1000
	keptMost      = 1500
	keptBytes     = 4 << 20
)

// maxQueue bounds the operations of a document that wait for the disk.
const maxQueue = 4096

// Document is one sequenced log and what it has come to. Everything that happens to it is serialised by its lock.
type Document struct {
	// Set once.
	set     *Documents
	id      string
	channel string // whose policy and grants are the document's

	// Guarded by mu.
	mu       sync.Mutex
	kind     Kind
	epoch    string // of this log; changes when a document is lost, or deleted and made again
	version  uint64
	body     body // nil: not in memory
	since    int  // operations since the last snapshot
	bytes    int  // of those
	outlets  []outlet
	editors  []*editor
	cursors  []*cursor
	holders  int // editors and requests
	touched  time.Time
	queue    []step // what waits for the disk
	kept     bool   // the shelf has a snapshot
	draining bool   // drain runs
	unsafe   bool   // the disk has refused something: nobody is told of the document before it has taken all of it
	dead     bool   // it has left Documents
}

// step is what happens when a change is safe on disk.
//
// What then says was put together when the step was made: of the document it may use what never changes (operations,
// the connections of editors), and what holds then, but nothing that it has kept of what held before.
type step struct {
	wait func() (broker.Position, error) // nil: nothing to wait for but those before
	then func(err error)                 // err: what the last of those waits has answered
}

// use calls f with the lock held, and the document in memory and of a kind ("": of any).
func (d *Document) use(kind Kind, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(kind); err != nil {
		return err
	}
	return f()
}

// release gives back what get gave.
func (d *Document) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holders--
	d.touched = d.set.now()
}

// load sees that the document is in memory, and of a kind ("": of any). The caller holds mu.
func (d *Document) load(kind Kind) error {
	d.touched = d.set.now()
	if err := d.confirm(); err != nil {
		return err
	}
	if d.body == nil {
		h, log, ok, err := d.set.shelf.load(d.id)
		if err != nil {
			return err
		}
		if d.kept = ok; !ok {
			h = head{Kind: kind, Epoch: d.epoch}
		}
		if err := d.restore(h, log); err != nil {
			return err
		}
		d.set.counts.loads.Inc()
	}
	if !d.kept && len(d.editors) == 0 && kind != "" && d.kind != kind { // nobody has begun it yet
		if err := d.restore(head{Kind: kind, Epoch: d.epoch}, nil); err != nil {
			return err
		}
	}
	switch {
	case !d.kept && kind == "":
		return errNone
	case kind != "" && d.kind != kind:
		return errKind
	}
	return nil
}

// confirm says whether everything of the document is safe that the disk had refused before. It tries that again by
// itself. The caller holds mu.
func (d *Document) confirm() error {
	if !d.unsafe {
		return nil
	}
	if err := d.set.shelf.confirm(d.id); err != nil {
		return err
	}
	d.unsafe = false
	return nil
}

// restore makes the document what a snapshot and a log say.
func (d *Document) restore(h head, log []*entry) error {
	b := newBody(h.Kind)
	if b == nil { // only asked for
		return nil
	}
	if h.Content != nil {
		if err := b.restore(h.Content, h.Version); err != nil {
			return err
		}
	}
	version, since, bytes := h.Version, 0, 0
	for _, e := range log {
		if err := b.replay(e, e.version <= h.Version); err != nil {
			return err
		}
		if e.version > h.Version {
			version = e.version
			since++
			bytes += e.size()
		}
	}
	if h.Epoch == "" {
		h.Epoch = newEpoch()
	}
	d.kind, d.epoch, d.version, d.body, d.since, d.bytes = h.Kind, h.Epoch, version, b, since, bytes
	return nil
}

func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// admit says whether the document can take another operation now. The caller holds mu.
func (d *Document) admit() error {
	if d.set.closed.Load() || len(d.queue) >= maxQueue {
		return errOverloaded
	}
	for _, o := range d.outlets {
		if o.full() {
			return errOverloaded
		}
	}
	return nil
}

// append makes the next operation of the log, which the body has applied. When it is safe, it is told to everybody, after
// done, which may be nil, has been called. by is who made it; nil for a backend. The caller holds mu. On an error nothing has
// changed.
func (d *Document) append(e *entry, by *editor, done func(err error)) error {
	e.version, e.at = d.version+1, d.set.now().UnixMilli()
	if !d.kept {
		// What the log begins with comes first: a log without it would be taken for what was deleted.
		empty := newBody(d.kind)
		if _, err := d.set.shelf.save(d.id, d.kind, d.epoch, d.version, empty.appendContent); err != nil {
			return err
		}
		d.kept = true
	}
	receipt, err := d.set.shelf.append(d.id, e)
	if err != nil {
		return err
	}
	d.version++
	d.since++
	d.bytes += e.size()
	d.set.counts.operations.Inc()
	d.after(receipt, func(err error) {
		if done != nil {
			done(err)
		}
		if err == nil {
			d.tell(e, by)
		}
	})
	return nil
}

// settle makes a snapshot if it is time. The caller holds mu, after the body has taken the last operation.
func (d *Document) settle() {
	if often, _ := d.body.compacts(); often > 0 && (d.since >= often || d.bytes >= snapshotBytes) {
		d.snapshot()
	}
}

// snapshot saves the document as it is now. If that fails, the next operation tries again. The caller holds mu.
func (d *Document) snapshot() {
	if _, err := d.set.shelf.save(d.id, d.kind, d.epoch, d.version, d.body.appendContent); err != nil {
		d.set.shelf.core.Log().Warn("no snapshot of a document", slog.String("document", d.id), slog.String("error", err.Error()))
		return
	}
	if !d.body.follows() {
		d.set.shelf.trim(d.id)
	}
	d.kept = true
	d.since, d.bytes = 0, 0
	d.set.counts.snapshots.Inc()
}

// after calls f, with the lock held, when a change is safe and everything before it has been told. The caller
// holds mu.
func (d *Document) after(t broker.Receipt, f func(err error)) {
	if t.Wait == nil && len(d.queue) == 0 {
		f(nil)
		return
	}
	d.queue = append(d.queue, step{t.Wait, f})
	if !d.draining {
		d.draining = true
		// Ends when the queue is empty; Documents.stop waits.
		d.set.shelf.core.Contain().Loop(&d.set.working, "drain of a document", d.drain)
	}
}

// say calls f like after, once everything before it is safe. If that fails, everybody who follows is ended, and f is not
// called. The caller holds mu.
func (d *Document) say(f func()) {
	d.after(noTicket, func(err error) {
		if err == nil {
			f()
		}
	})
}

// drain waits for the disk on behalf of all who wait. A panic over a step ends the editors, as a change does that is not
// stored: they come back and find out.
func (d *Document) drain() {
	hook := d.set.shelf.core.Contain()
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error // what the last wait has answered: those behind it tell of what is not safe either
	for len(d.queue) > 0 {
		s := d.queue[0]
		if s.wait != nil {
			err = errInternal
			d.mu.Unlock()
			hook.Do("wait for a document", func() { _, err = s.wait() })
			d.mu.Lock()
			d.unsafe = err != nil
		}
		panicked := !hook.Do("step of a document", func() { s.then(err) })
		if panicked && err == nil {
			hook.Do("end of a document's editors", func() { d.lose(errInternal) })
		}
		if err != nil && s.wait != nil {
			hook.Do("end of a document's editors", func() { d.lose(err) })
		}
		d.queue = slices.Delete(d.queue, 0, 1) // only now: what comes meanwhile is to wait behind it
	}
	d.draining, d.queue = false, nil
}

// lose ends all editors, because what they have been told and what is kept may differ: they come back and find
// out. The caller holds mu.
func (d *Document) lose(err error) {
	d.set.shelf.core.Log().Error("operation of a document not stored", slog.String("document", d.id), slog.String("error", err.Error()))
	for _, ed := range d.editors {
		ed.end(closeOverloaded, "not stored")
	}
}

// leave lets a document out of memory that has not been used for a while: all of it if nobody holds it, its body
// only if somebody does. It answers whether the document is closed.
func (d *Document) leave(now time.Time, idle time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead || d.draining || d.confirm() != nil || now.Sub(d.touched) < idle || idle > 0 && d.holders > 0 && d.body == nil {
		return false
	}
	if d.holders > 0 && idle == 0 {
		return false
	}
	if d.body != nil && d.kept {
		if _, leaving := d.body.compacts(); leaving > 0 && d.since >= leaving {
			d.snapshot()
		}
	}
	d.body = nil
	if d.holders > 0 {
		return false
	}
	d.outlets = nil
	d.dead = true
	d.set.open.Delete(d.id)
	d.set.number.Add(-1)
	return true
}
