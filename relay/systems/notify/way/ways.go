// Package way finds the channels of what is pending for the users of each partition of a cluster, and knows which of them this node has.
//
// The entry points are [New] and [Attempts]. A way is in the partition whose users it is for, so that it is always with the node that has them. Methods may be called
// concurrently, and wait for nobody.
package way

import (
	"slices"
	"sync"

	"weir/internal/wire"
	"weir/relay/cluster/place"
)

// Ways are the channels of what is pending, one for each partition.
type Ways struct {
	// Set once by New.
	names []string      // by partition
	Wake  chan struct{} // holds a value if some are to be read; never closed

	// Guarded by mu, a leaf.
	mu    sync.Mutex
	mine  map[string]int  // those of this node, by when they became so
	read  map[string]bool // those that are to be read
	order int             // the last one of mine
}

// New returns the ways of so many partitions: each has the first of the channels, by number, that belongs to it.
func New(partitions int, channel func(i int) string) *Ways {
	w := &Ways{names: make([]string, partitions), Wake: make(chan struct{}, 1), mine: make(map[string]int), read: make(map[string]bool)}
	for i, left := 0, partitions; left > 0; i++ {
		name := channel(i)
		if p := place.Partition(name, partitions, nil); w.names[p] == "" {
			w.names[p] = name
			left--
		}
	}
	return w
}

// User returns the way of a user.
func (w *Ways) User(user string) string {
	return w.names[place.Partition(wire.UserChannel(user), len(w.names), nil)]
}

// Moved notes that ways are this node's from now on, or no longer.
func (w *Ways) Moved(of func(key string) bool, gained bool) {
	w.mu.Lock()
	for _, name := range w.names {
		if !of(name) {
			continue
		}
		delete(w.mine, name)
		delete(w.read, name)
		if gained {
			w.order++
			w.mine[name], w.read[name] = w.order, true
		}
	}
	w.mu.Unlock()
	if gained {
		w.Kick()
	}
}

// Kick has who takes ways look.
func (w *Ways) Kick() {
	select {
	case w.Wake <- struct{}{}:
	default: // it is about to look
	}
}

// Take returns the ways that are to be read.
func (w *Ways) Take() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.read {
		list = append(list, name)
	}
	clear(w.read)
	slices.Sort(list)
	return list
}

// Back has ways be read later, if they are still this node's.
func (w *Ways) Back(list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range list {
		if w.mine[name] > 0 {
			w.read[name] = true
		}
	}
}

// Again has a way be read once more, if it is this node's.
func (w *Ways) Again(name string) {
	w.Back([]string{name})
	w.Kick()
}

// Since returns when a way became this node's; 0: it is not.
func (w *Ways) Since(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mine[name]
}

// Attempts counts the attempts under way. Its zero value is ready.
type Attempts struct {
	// Guarded by mu, a leaf.
	mu    sync.Mutex
	count map[spell]int
}

// spell is a time during which a way is this node's.
type spell struct {
	way   string
	since int // as Ways.Since has it
}

// Add adds to those of a way that this node has had since then.
func (a *Attempts) Add(way string, since, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count == nil {
		a.count = make(map[spell]int)
	}
	of := spell{way, since}
	if a.count[of] += n; a.count[of] == 0 {
		delete(a.count, of)
	}
}

// Under returns those of the ways that have attempts under way.
func (a *Attempts) Under(list []string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	busy := make(map[string]bool)
	for of := range a.count {
		busy[of.way] = true
	}
	return slices.DeleteFunc(list, func(way string) bool { return !busy[way] })
}

// Earlier reports whether there are attempts under way that began before a way left this node, which has had it again since then.
func (a *Attempts) Earlier(way string, since int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for of := range a.count {
		if of.way == way && of.since != since {
			return true
		}
	}
	return false
}
