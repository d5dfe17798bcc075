package ingress

import (
	"log/slog"
	"net"
	"runtime"
	"sync"
)

// acceptor accepts connections and gives each an event loop.
type acceptor struct {
	// Set once.
	gate     *Gate
	listener *listener
	handoff  *Handoff
	done     chan struct{} // closed when run has ended

	// Owned by run.
	loops []*eventLoop // opened for the first socket: in memory, tests have none
	tried bool
	next  int // the event loop of the next connection

	serving sync.WaitGroup // the event loops; ended and waited for by run
}

func newAcceptor(in *Gate, d *listener) *acceptor {
	return &acceptor{gate: in, listener: d, handoff: NewHandoff(d.Addr()), done: make(chan struct{})}
}

// run accepts until the listener is closed. Then the event loops are, with what has come answered, and their connections.
func (f *acceptor) run() error {
	for {
		nc, err := f.listener.Accept()
		if err != nil {
			f.end()
			return err
		}
		if !f.gate.hub.Contain.Do("placement", func() { f.place(nc) }) {
			_ = nc.Close()
		}
	}
}

// end ends the event loops, with what has come answered, and says so.
func (f *acceptor) end() {
	for _, k := range f.loops {
		k.stop()
	}
	f.serving.Wait()
	for _, k := range f.loops {
		_ = k.set.Close()
	}
	close(f.done)
}

// place gives a connection an event loop, or to the HTTP server.
func (f *acceptor) place(nc net.Conn) {
	g, ok := nc.(*Conn)
	if ok && !f.tried {
		f.open()
	}
	if !ok || len(f.loops) == 0 || !f.loops[f.next].add(g) {
		if ok {
			g.promote()
		}
		f.handoff.put(nc)
		return
	}
	f.next = (f.next + 1) % len(f.loops)
}

// open opens as many event loops as there are processors. Without any, all connections go to the HTTP server.
func (f *acceptor) open() {
	f.tried = true
	for range runtime.GOMAXPROCS(0) {
		k, err := newEventLoop(f.gate, f.handoff)
		if err != nil {
			f.gate.hub.Log.Warn("event loop not opened", slog.String("error", err.Error()))
			return
		}
		f.loops = append(f.loops, k)
		k.start(&f.serving)
	}
}

// wait returns when run has ended.
func (f *acceptor) wait() { <-f.done }
