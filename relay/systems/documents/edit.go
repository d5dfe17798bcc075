package documents

import "weir/relay/systems/documents/text"

// edit is an operation on a text that somebody asks for.
type edit struct {
	base uint64 // the version that it was made at
	op   text.Op
	user string
	src  string
	id   string  // as JSON
	by   *editor // nil for a backend
	echo bool    // by is told of it as everybody is, not that it was accepted
	free bool    // it may be one that does not know an earlier operation of the same src

	// Set by Document.edit.
	got   uint64 // the version after it
	again bool   // it was applied before
}

// edit applies an operation: it is moved over what was applied since its base, and told to everybody. The caller
// holds mu and has loaded the document.
//
// It answers the version that the operation has got, also for one that was applied before. done, which may be
// nil, is called with the lock held when the operation is safe, and only for a new one. On an error nothing has
// changed.
func (d *Document) edit(x *edit, done func(err error)) (version uint64, again bool, err error) {
	b := d.body.(*textBody)
	if x.base > d.version {
		return 0, false, errAhead
	}
	others, ok := b.after(d.version, x.base)
	if !ok {
		return 0, false, errStale
	}
	if x.src != "" {
		for _, e := range others {
			if e.src != x.src || e.user != x.user {
				continue
			}
			if e.id == x.id && e.id != "" {
				x.got, x.again = e.version, true
				return e.version, true, nil
			}
			if !x.free {
				err = errUnanswered // unless it is a later one of them that comes again
			}
		}
	}
	if err != nil {
		return 0, false, err
	}
	if err := d.admit(); err != nil {
		return 0, false, err
	}
	op, err := b.rebase(x.op, others)
	if err != nil {
		return 0, false, err
	}
	if grows := op.Growth(); grows > 0 && b.buffer.Size()+grows > int(d.set.config.Size) {
		return 0, false, errLarge
	}
	if err := b.buffer.Apply(op); err != nil {
		return 0, false, err
	}
	x.got = d.version + 1
	e := &entry{user: x.user, src: x.src, id: x.id, op: op}
	teller := x.by
	if x.echo {
		anybody := *x.by
		anybody.outlet = nil // nobody's answer takes the place of the operation
		teller = &anybody
	}
	if err := d.append(e, teller, done); err != nil {
		_ = b.buffer.Apply(op.Invert()) // what was just applied can be taken back
		return 0, false, err
	}
	b.keep(e)
	d.moveCursors(e, x.by)
	d.settle()
	return e.version, false, nil
}

// tell tells everybody of an operation. Followers that can not be told are ended: they come back and catch up.
func (d *Document) tell(e *entry, by *editor) {
	for _, o := range d.outlets {
		if o.applied(e, by) == nil {
			continue
		}
		for _, ed := range d.editors {
			if ed.outlet == o {
				ed.end(closeOverloaded, "more to tell than can be taken")
			}
		}
	}
}
