package documents

import (
	"slices"
	"time"

	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/message"
	"weir/relay/systems/documents/text"
)

// cursorLife is how long a cursor is shown after its editor has last sent it.
const cursorLife = 30 * time.Second

// cursor is where one editor is in the text. It is moved by operations.
type cursor struct {
	editor    *editor
	position  int // code points before it
	selection *text.Selection
	until     time.Time
}

// setCursor sets an editor's cursor, as it was at a version, and sends it to the others. The caller holds mu and has
// loaded the document.
func (d *document) setCursor(ed *editor, version uint64, position int, selection *text.Selection) error {
	b := d.body.(*content.TextBody)
	if version > d.version {
		return errAhead
	}
	later, ok := b.Since(d.version, version)
	if !ok {
		return errStale
	}
	i := slices.IndexFunc(d.cursors, func(c *cursor) bool { return c.editor == ed })
	if i < 0 && len(d.cursors) >= d.set.config.Cursors {
		return errCursors
	}
	c := &cursor{editor: ed, position: position, selection: selection, until: d.set.now().Add(cursorLife)}
	for _, e := range later {
		c.move(e.Op)
	}
	if c.outside(b.Buffer.Len()) {
		return message.Bad("position and selection must lie in the text")
	}
	if i < 0 {
		d.cursors = append(d.cursors, c)
	} else {
		d.cursors[i] = c
	}
	d.sendCursor(c, false)
	return nil
}

// move moves the cursor over an operation of another editor.
func (c *cursor) move(op text.Op) {
	c.position = op.Move(c.position)
	if c.selection != nil {
		moved := c.selection.Move(op)
		c.selection = &moved
	}
}

// outside reports whether the cursor is not in a text of n code points.
func (c *cursor) outside(n int) bool {
	outside := func(at int) bool { return at < 0 || at > n }
	return outside(c.position) || c.selection != nil && (outside(c.selection.Start) || outside(c.selection.End))
}

// moveCursors moves all cursors over an operation. That of its author stands behind what was edited. Nothing
// is sent: clients that apply the operation do the same.
func (d *document) moveCursors(e *content.Entry, by *editor) {
	for _, c := range d.cursors {
		if c.editor == by {
			c.position, c.selection = e.Op.End(), nil
			c.until = d.set.now().Add(cursorLife)
		} else {
			c.move(e.Op)
		}
	}
}

// removeCursor removes an editor's cursor, and sends that to the others if there was one. The caller holds mu.
func (d *document) removeCursor(ed *editor) {
	i := slices.IndexFunc(d.cursors, func(c *cursor) bool { return c.editor == ed })
	if i >= 0 {
		c := d.cursors[i]
		d.cursors = slices.Delete(d.cursors, i, i+1)
		d.sendCursor(c, true)
	}
}

// expire removes the cursors whose time is over.
func (d *document) expire(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cursors = slices.DeleteFunc(d.cursors, func(c *cursor) bool {
		over := !now.Before(c.until)
		if over {
			d.sendCursor(c, true)
		}
		return over
	})
	for _, o := range d.broadcasters {
		o.expire(d, now)
	}
}

// sendCursor sends a cursor in turn with the operations: it is right after those.
func (d *document) sendCursor(c *cursor, gone bool) {
	shown := *c
	version := d.version
	d.inOrder(func() {
		for _, o := range d.broadcasters {
			o.moved(&shown, version, gone)
		}
	})
}
