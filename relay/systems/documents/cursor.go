package documents

import (
	"slices"
	"time"

	"weir/relay/systems/documents/text"
)

// cursorLife is how long a cursor is shown after its editor has last spoken of it.
const cursorLife = 30 * time.Second

// span is the part of a text that is selected, in code points. Start may lie behind End: where one began.
type span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// cursor is where one editor is in the text. It is moved by operations.
type cursor struct {
	editor    *editor
	position  int // code points before it
	selection *span
	until     time.Time
}

// put places an editor's cursor, as it was at a version, and tells the others. The caller holds mu and has
// loaded the document.
func (d *Document) put(ed *editor, version uint64, position int, selection *span) error {
	b := d.body.(*textBody)
	if version > d.version {
		return errAhead
	}
	later, ok := b.after(d.version, version)
	if !ok {
		return errStale
	}
	i := slices.IndexFunc(d.cursors, func(c *cursor) bool { return c.editor == ed })
	if i < 0 && len(d.cursors) >= d.set.config.Cursors {
		return errCursors
	}
	c := &cursor{editor: ed, position: position, selection: selection, until: d.set.now().Add(cursorLife)}
	for _, e := range later {
		c.over(e.op)
	}
	if c.beyond(b.buffer.Len()) {
		return badRequest("position and selection must lie in the text")
	}
	if i < 0 {
		d.cursors = append(d.cursors, c)
	} else {
		d.cursors[i] = c
	}
	d.tellCursor(c, false)
	return nil
}

// over moves the cursor over an operation of somebody else.
func (c *cursor) over(op text.Op) {
	c.position = op.Move(c.position)
	if c.selection != nil {
		c.selection = &span{op.Move(c.selection.Start), op.Move(c.selection.End)}
	}
}

// beyond says whether the cursor is not in a text of n code points.
func (c *cursor) beyond(n int) bool {
	outside := func(at int) bool { return at < 0 || at > n }
	return outside(c.position) || c.selection != nil && (outside(c.selection.Start) || outside(c.selection.End))
}

// moveCursors moves all cursors over an operation. That of its author stands behind what was edited. Nobody is
// told: whoever applies the operation does the same.
func (d *Document) moveCursors(e *entry, by *editor) {
	for _, c := range d.cursors {
		if c.editor == by {
			c.position, c.selection = e.op.End(), nil
			c.until = d.set.now().Add(cursorLife)
		} else {
			c.over(e.op)
		}
	}
}

// hide takes an editor's cursor away, and tells the others if there was one. The caller holds mu.
func (d *Document) hide(ed *editor) {
	i := slices.IndexFunc(d.cursors, func(c *cursor) bool { return c.editor == ed })
	if i >= 0 {
		c := d.cursors[i]
		d.cursors = slices.Delete(d.cursors, i, i+1)
		d.tellCursor(c, true)
	}
}

// expire hides the cursors whose time is over.
func (d *Document) expire(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cursors = slices.DeleteFunc(d.cursors, func(c *cursor) bool {
		over := !now.Before(c.until)
		if over {
			d.tellCursor(c, true)
		}
		return over
	})
	for _, o := range d.outlets {
		o.expire(d, now)
	}
}

// tellCursor tells of a cursor in turn with the operations. What it says is true after those.
func (d *Document) tellCursor(c *cursor, gone bool) {
	shown := *c
	version := d.version
	d.say(func() {
		for _, o := range d.outlets {
			o.moved(&shown, version, gone)
		}
	})
}
