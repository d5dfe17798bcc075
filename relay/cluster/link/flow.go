package link

import "sync"

// flowBytes are sent to a process before it is asked whether they have come.
const flowBytes = 4 << 20

// Flow does one after the other what may append much to a link: the states of the channels that its process begins to follow may be hundreds of megabytes. What waits is done when
// the process has worked off most of what was appended: what publishers wait for does not come behind all of it, the link is not given more than it may hold, and nor are the servers.
type Flow struct {
	// Set once.
	Link *Link
	Ask  func(done func()) // asks the process, and calls done once when it has worked off what was appended up to now, or can not be asked

	mu      sync.Mutex
	waits   []func()
	busy    bool   // somebody does what waits, or done is to be called
	counted uint64 // bytes of the link up to where it was asked last
}

// Do does something now, or when there is room for what it appends. It is called in the order in which things are to be done.
func (f *Flow) Do(work func()) {
	f.mu.Lock()
	f.waits = append(f.waits, work)
	busy := f.busy
	f.busy = true
	f.mu.Unlock()
	if !busy {
		f.run()
	}
}

func (f *Flow) run() {
	for {
		total := f.Link.total()
		f.mu.Lock()
		if len(f.waits) == 0 {
			f.busy, f.waits = false, nil
			f.mu.Unlock()
			return
		}
		if total-f.counted > flowBytes {
			f.counted = total
			f.mu.Unlock()
			f.Ask(f.run)
			return
		}
		work := f.waits[0]
		f.waits = f.waits[1:]
		f.mu.Unlock()
		work()
	}
}
