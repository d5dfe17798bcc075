package link

import (
	"slices"

	"weir/broker"
)

// Tap sends the changes of a channel that this process owns to its followers. It implements broker.Tap. The channel's lock guards it.
type Tap struct{ Followers []Follower }

// Follower is a process that follows a channel, by the link to it and the number of the follow.
type Follower struct {
	Link *Link
	ID   uint64
}

// Tells reports whether the process of a link is a follower.
func (t *Tap) Tells(l *Link) bool {
	return slices.ContainsFunc(t.Followers, func(f Follower) bool { return f.Link == l })
}

// Apply implements broker.Tap.
func (t *Tap) Apply(seq uint64, e *broker.Entry) {
	for _, f := range t.Followers {
		f.Link.Append(Change, func(w *Writer) {
			w.Uint(f.ID)
			w.Uint(seq)
			w.Entry(e)
		})
	}
}

// Reset implements broker.Tap.
func (t *Tap) Reset(k *broker.Kept) {
	for _, f := range t.Followers {
		if k == nil {
			f.Link.Append(Again, func(w *Writer) { w.Uint(f.ID) })
			continue
		}
		f.Tell(k, true)
	}
}

// Tell sends the follower the state of the channel, or the changes that it lacks.
func (f Follower) Tell(k *broker.Kept, existed bool) {
	kind := byte(Kept)
	if k.Partial {
		kind = Missed
	}
	f.Link.Append(kind, func(w *Writer) {
		w.Uint(f.ID)
		w.Bool(existed)
		w.Kept(k)
	})
}
