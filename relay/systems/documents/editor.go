package documents

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// noTicket is for what need not be stored, but waits for its turn.
var noTicket broker.Receipt

// Close codes of the relay that are used here.
const (
	closeForbidden  = wire.CloseForbidden
	closeOverloaded = wire.CloseOverloaded
	closeReplaced   = 4409
)

// editor is one connection that has a document open. Two tabs of a user are two editors.
type editor struct {
	// Set once.
	client     *relay.Client // nil in tests
	connection string
	user       string
	src        string
	color      string
	outlet     outlet

	// Guarded by the document's lock.
	name     string    // as the user's newest token says
	issued   time.Time // when that token was, if it says so
	base     uint64    // the newest version that it is known to have: it was told the whole, or that was taken from it
	replaced bool      // its src has come back on another connection: what still comes on this one is too late
}

// end closes the connection, after everything that was sent before.
func (ed *editor) end(code int, reason string) {
	if ed.client != nil {
		ed.client.Close(code, reason)
	}
}

// enter adds an editor to those of the document. One with the same src is the same, on a connection that it has
// given up: nothing that is still on its way there is applied any more, so that the new one knows where it stands.
// The caller holds mu.
func (d *Document) enter(ed *editor) {
	for _, old := range d.editors {
		if old.src == ed.src && old.user == ed.user && ed.src != "" {
			old.replaced = true
			old.end(closeReplaced, "the editor has come back on another connection")
			d.hide(old)
		}
	}
	d.editors = append(d.editors, ed)
	d.touched = d.set.now()
}

// names has all editors of a user show the name that a token says, and tells of their cursors, unless one of them has a
// newer token. The caller holds mu.
func (d *Document) names(id *auth.Identity) {
	for _, ed := range d.editors {
		if ed.user == id.User && !id.Issued.IsZero() && id.Issued.Before(ed.issued) {
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
				d.tellCursor(c, false)
			}
		}
	}
}

// depart takes an editor and its cursor away. Called once for each that has entered.
func (d *Document) depart(ed *editor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hide(ed)
	if i := slices.Index(d.editors, ed); i >= 0 {
		d.editors = slices.Delete(d.editors, i, i+1)
	}
	if ed.outlet != nil { // nil in tests
		ed.outlet.left(d, ed)
	}
}

// colorOf is the colour of a user's cursors: always the same, dark enough to be read on white.
func colorOf(user string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // never fails
	hue := float64(h.Sum32()%360) / 60
	const high, low = 0.72, 0.16 // of the strongest and the weakest channel
	x := low + (high-low)*(1-abs(mod2(hue)-1))
	var r, g, b float64
	switch int(hue) {
	case 0:
		r, g, b = high, x, low
	case 1:
		r, g, b = x, high, low
	case 2:
		r, g, b = low, high, x
	case 3:
		r, g, b = low, x, high
	case 4:
		r, g, b = x, low, high
	default:
		r, g, b = high, low, x
	}
	return fmt.Sprintf("#%02x%02x%02x", int(r*255), int(g*255), int(b*255))
}

func abs(x float64) float64 { return max(x, -x) }

func mod2(x float64) float64 {
	for x >= 2 {
		x -= 2
	}
	return x
}
