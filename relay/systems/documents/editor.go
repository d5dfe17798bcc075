package documents

import (
	"slices"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// noReceipt is for what is not stored itself, but waits for its turn.
var noReceipt broker.Receipt

// Close codes of the relay that are used here.
const (
	closeForbidden  = wire.CloseForbidden
	closeOverloaded = wire.CloseOverloaded
	closeMoved      = wire.CloseDraining
	closeReplaced   = 4409
)

// comeBack has a client come back after a second.
const comeBack = "retry=1000"

// editor is one connection that has a document open. Two tabs of a user are two editors.
type editor struct {
	// Set once.
	client      *relay.Client // nil in tests
	connection  string
	user        string
	src         string
	color       string
	broadcaster broadcaster

	// Guarded by the document's lock.
	name     string      // as the user's newest token says
	issued   auth.Moment // when that token was issued, if it says so
	base     uint64      // the newest version that it is known to have: it was sent the text, or its operation was applied
	replaced bool        // its src has come back on another connection: what still comes over this one is ignored
}

// end closes the connection, after everything that was sent before.
func (ed *editor) end(code int, reason string) {
	if ed.client != nil {
		ed.client.Close(code, reason)
	}
}

// addEditor adds an editor to those of the document. One with the same src is the same editor, on a connection that it
// has given up: nothing that is still on its way there is applied, so that the new connection is told all that counts.
// The caller holds mu.
func (d *document) addEditor(ed *editor) {
	for _, old := range d.editors {
		if old.src == ed.src && old.user == ed.user && ed.src != "" {
			old.replaced = true
			old.end(closeReplaced, "the editor has come back on another connection")
			d.removeCursor(old)
		}
	}
	d.editors = append(d.editors, ed)
	d.touched = d.set.now()
}

// rename gives all editors of a user the name in a token, and sends their cursors, unless one of them has a newer token.
// The caller holds mu.
func (d *document) rename(id *auth.Identity) {
	for _, ed := range d.editors {
		if ed.user == id.User && id.Issued != 0 && id.Issued < ed.issued {
			return
		}
	}
	for _, ed := range d.editors {
		if ed.user != id.User {
			continue
		}
		ed.issued = id.Issued
		if ed.name == id.Name {
			continue
		}
		ed.name = id.Name
		for _, c := range d.cursors {
			if c.editor == ed {
				d.sendCursor(c, false)
			}
		}
	}
}

// removeEditor removes an editor and its cursor. It is called once for each that was added.
func (d *document) removeEditor(ed *editor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removeCursor(ed)
	if i := slices.Index(d.editors, ed); i >= 0 {
		d.editors = slices.Delete(d.editors, i, i+1)
	}
	if ed.broadcaster != nil { // nil in tests
		ed.broadcaster.left(d, ed)
	}
}
