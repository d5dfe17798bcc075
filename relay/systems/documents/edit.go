package documents

import (
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/text"
)

// edit is an operation on a text that a client or a backend asks for.
type edit struct {
	base       uint64 // the version that it was made at
	op         text.Op
	user       string
	src        string
	id         string  // as JSON
	by         *editor // nil for a backend
	echo       bool    // by is sent the operation as everybody is, and not that it was accepted
	concurrent bool    // it may be one that does not know an earlier operation of the same src

	// Set by Document.edit.
	version uint64 // after it
	again   bool   // it was applied before
}

// is reports whether the edit is an operation that was applied before.
func (x *edit) is(e *content.Entry) bool { return e.Src == x.src && e.ID == x.id && e.User == x.user }

// edit applies an operation: it is transformed over what was applied since its base, and sent to everybody. The caller
// holds mu and has loaded the document.
//
// It returns the version that the operation has got, also for one that was applied before. done, which may be
// nil, is called with the lock held when the operation is stored, and only for a new one. On an error nothing has
// changed.
func (d *document) edit(x *edit, done func(err error)) (version uint64, again bool, err error) {
	b := d.body.(*content.TextBody)
	if x.base > d.version {
		return 0, false, errAhead
	}
	others, ok := b.Since(d.version, x.base)
	if !ok {
		return 0, false, errStale
	}
	if x.src != "" {
		for _, e := range others {
			switch {
			case x.id != "" && x.is(e):
				x.version, x.again = e.Version, true
				return e.Version, true, nil
			case e.Src == x.src && e.User == x.user && !x.concurrent:
				err = errUnanswered // unless it is a later one of them that comes again
			}
		}
	}
	if err != nil {
		return 0, false, err
	}
	if err := d.ready(); err != nil {
		return 0, false, err
	}
	op, err := b.Rebase(x.op, others)
	if err != nil {
		return 0, false, err
	}
	if grows := op.Growth(); grows > 0 && b.Buffer.Size()+grows > int(d.set.config.Size) {
		return 0, false, errLarge
	}
	if err := b.Buffer.Apply(op); err != nil {
		return 0, false, err
	}
	x.version = d.version + 1
	e := &content.Entry{User: x.user, Src: x.src, ID: x.id, Op: op}
	author := x.by
	if x.echo {
		anybody := *x.by
		anybody.broadcaster = nil // no answer takes the place of the operation
		author = &anybody
	}
	if err := d.append(e, author, done); err != nil {
		_ = b.Buffer.Apply(op.Invert()) // what was just applied can be taken back
		return 0, false, err
	}
	b.Append(e)
	d.moveCursors(e, x.by)
	d.snapshotIfDue()
	return e.Version, false, nil
}

// broadcast sends an operation to everybody. Followers that cannot be sent it are ended: they come back and catch up.
func (d *document) broadcast(e *content.Entry, by *editor) {
	for _, o := range d.broadcasters {
		if o.applied(e, by) == nil {
			continue
		}
		for _, ed := range d.editors {
			if ed.broadcaster == o {
				ed.end(closeOverloaded, "too much is waiting to be sent")
			}
		}
	}
}
