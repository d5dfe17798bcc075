package documents

import (
	"log/slog"
	"slices"

	"weir/broker"
)

// maxQueue bounds the operations of a document that wait for the disk.
const maxQueue = 4096

// step is what happens when a change is stored.
//
// What then sends was put together when the step was made. It may use the document as it is when then is called, and
// what never changes (operations, the connections of editors), but no copy of anything else.
type step struct {
	wait func() (broker.Position, error) // nil: nothing to wait for but those before
	then func(err error)                 // err: what the last of those waits has returned
}

// whenStored calls f, with the lock held, when a change is stored and everything before it has been sent. The caller
// holds mu.
func (d *document) whenStored(t broker.Receipt, f func(err error)) {
	if t.Wait == nil && len(d.queue) == 0 {
		f(nil)
		return
	}
	d.queue = append(d.queue, step{t.Wait, f})
	if !d.draining {
		d.draining = true
		// Ends when the queue is empty; Documents.stop waits.
		d.set.store.Host.Contain().Loop(&d.set.working, "drain of a document", d.set.closed.Load, d.drain, d.abandon)
	}
}

// inOrder calls f like whenStored, once everything before it is stored. If that fails, all followers are ended, and f is
// not called. The caller holds mu.
func (d *document) inOrder(f func()) {
	d.whenStored(noReceipt, func(err error) {
		if err == nil {
			f()
		}
	})
}

// drain waits for the disk on behalf of all steps. A panic in a step ends the editors, as a change does that is not
// stored: they come back and get what is kept.
func (d *document) drain() {
	hook := d.set.store.Host.Contain()
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error // what the last wait has returned: the steps behind it would send what is not stored either
	for len(d.queue) > 0 {
		s := d.queue[0]
		if s.wait != nil {
			err = errInternal
			d.mu.Unlock()
			hook.Do("wait for a document", func() { _, err = s.wait() })
			d.mu.Lock()
			d.unconfirmed = err != nil
		}
		panicked := !hook.Do("step of a document", func() { s.then(err) })
		if panicked && err == nil {
			hook.Do("end of a document's editors", func() { d.endEditors(errInternal) })
		}
		if err != nil && s.wait != nil {
			hook.Do("end of a document's editors", func() { d.endEditors(err) })
		}
		d.queue = slices.Delete(d.queue, 0, 1) // only now: what comes meanwhile is to wait behind it
	}
	d.draining, d.queue = false, nil
}

// abandon ends a drain that does nothing but panic: everything that waits gets errInternal.
func (d *document) abandon() {
	hook := d.set.store.Host.Contain()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.queue {
		hook.Do("step of a document", func() { s.then(errInternal) })
	}
	hook.Do("end of a document's editors", func() { d.endEditors(errInternal) })
	d.draining, d.queue = false, nil
}

// endEditors ends all editors, because what they were sent and what is kept may differ: they come back and get what is
// kept. The caller holds mu.
func (d *document) endEditors(err error) {
	if !d.set.store.Host.Alone() { // what is kept may be less than what is here, and is read anew
		d.set.store.Host.Log().Warn("operation of a document was not stored", slog.String("document", d.id), slog.String("error", err.Error()))
		d.leave()
		return
	}
	d.set.store.Host.Log().Error("operation of a document was not stored", slog.String("document", d.id), slog.String("error", err.Error()))
	for _, ed := range d.editors {
		ed.end(closeOverloaded, "not stored")
	}
}
