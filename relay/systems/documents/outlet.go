package documents

import (
	"time"

	"weir/relay"
)

// outlet tells those who follow a document over one protocol what happens to it. Its methods are called with the
// document's lock held, in order, and do not block.
type outlet interface {
	// applied sends an operation. by is who made it, and gets what confirms it instead; nil for a backend. On an error
	// the followers have missed it.
	applied(e *entry, by *editor) error

	// moved sends a cursor as it is at a version, or that it is gone.
	moved(c *cursor, version uint64, gone bool)

	// left takes away what is kept of an editor that has left.
	left(d *Document, ed *editor)

	// expire sees to what time has done.
	expire(d *Document, now time.Time)

	// full says that more waits than the followers can take.
	full() bool

	// all is the followers.
	all() *followers
}

// followers are those who follow a document over one protocol. An outlet embeds it, and overrides what its protocol knows of.
type followers struct {
	room   *relay.Room
	binary bool // what they are sent
}

func (*followers) moved(*cursor, uint64, bool) {}
func (*followers) left(*Document, *editor)     {}
func (*followers) expire(*Document, time.Time) {}
func (o *followers) full() bool                { return o.room.Full() }
func (o *followers) all() *followers           { return o }

// outletOf is the document's outlet of a type, which is made for its first follower. The caller holds mu.
func outletOf[T outlet](d *Document, create func(followers) T) T {
	for _, o := range d.outlets {
		if o, ok := o.(T); ok {
			return o
		}
	}
	o := create(followers{room: d.set.shelf.core.Room(d.channel)})
	d.outlets = append(d.outlets, o)
	return o
}
