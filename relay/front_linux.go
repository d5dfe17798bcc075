package relay

import (
	"log/slog"
	"net"
	"runtime"
	"sync"
)

// front accepts connections and gives each a desk.
type front struct {
	// Set once.
	gate *Gate
	door *door
	lane *lane
	done chan struct{} // closed when run has ended

	// Owned by run.
	desks []*desk // opened for the first socket: in memory, tests have none
	tried bool
	next  int // the desk of the next connection

	serving sync.WaitGroup // the desks; ended and waited for by run
}

func newFront(in *Gate, d *door) *front {
	return &front{gate: in, door: d, lane: newLane(d.Addr()), done: make(chan struct{})}
}

// run accepts until the door is closed. Then the desks are, with what has come answered, and their connections.
func (f *front) run() error {
	for {
		nc, err := f.door.Accept()
		if err != nil {
			f.end()
			return err
		}
		if !f.gate.hub.Contain.Do("front desk", func() { f.place(nc) }) {
			_ = nc.Close()
		}
	}
}

// end ends the desks, with what has come answered, and says so.
func (f *front) end() {
	for _, k := range f.desks {
		k.stop()
	}
	f.serving.Wait()
	for _, k := range f.desks {
		_ = k.set.Close()
	}
	close(f.done)
}

// place gives a connection a desk, or to the HTTP server.
func (f *front) place(nc net.Conn) {
	g, ok := nc.(*guest)
	if ok && !f.tried {
		f.open()
	}
	if !ok || len(f.desks) == 0 || !f.desks[f.next].enter(g) {
		f.lane.put(nc)
		return
	}
	f.next = (f.next + 1) % len(f.desks)
}

// open opens as many desks as there are processors. Without any, all connections go to the HTTP server.
func (f *front) open() {
	f.tried = true
	for range runtime.GOMAXPROCS(0) {
		k, err := newDesk(f.gate, f.lane)
		if err != nil {
			f.gate.hub.Log.Warn("desk not opened", slog.String("error", err.Error()))
			return
		}
		f.desks = append(f.desks, k)
		k.start(&f.serving)
	}
}

// wait returns when run has ended.
func (f *front) wait() { <-f.done }
