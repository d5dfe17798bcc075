package documents

import (
	"time"

	"weir/relay"
)

// broadcaster sends what happens to a document to those who follow it over one protocol. Its methods are called with the
// document's lock held, in order, and do not block.
type broadcaster interface {
	// applied sends an operation. by is who made it, and gets what confirms it instead; nil for a backend. On an error
	// the followers have missed it.
	applied(e *entry, by *editor) error

	// moved sends a cursor as it is at a version, or that it is gone.
	moved(c *cursor, version uint64, gone bool)

	// left takes away what is kept of an editor that has left.
	left(d *Document, ed *editor)

	// expire takes away what is too old.
	expire(d *Document, now time.Time)

	// full reports whether more is waiting to be sent than the followers can take.
	full() bool

	// all is the followers.
	all() *followers
}

// followers are the clients that follow a document over one protocol. A broadcaster embeds it, and implements the methods
// for which its protocol has messages.
type followers struct {
	room   *relay.Room
	binary bool // what they are sent
}

func (*followers) moved(*cursor, uint64, bool) {}
func (*followers) left(*Document, *editor)     {}
func (*followers) expire(*Document, time.Time) {}
func (o *followers) full() bool                { return o.room.Full() }
func (o *followers) all() *followers           { return o }

// broadcasterOf returns the document's broadcaster of a type, which is made for its first follower. The caller holds mu.
func broadcasterOf[T broadcaster](d *Document, create func(followers) T) T {
	for _, o := range d.broadcasters {
		if o, ok := o.(T); ok {
			return o
		}
	}
	o := create(followers{room: d.set.store.core.Room(d.channel)})
	d.broadcasters = append(d.broadcasters, o)
	return o
}
