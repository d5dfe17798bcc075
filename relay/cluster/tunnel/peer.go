package tunnel

import (
	"context"
	"errors"
	"sync"
	"time"

	"weir/internal/pause"
	"weir/relay/cluster/link"
)

const (
	beat       = time.Second           // something is sent at least so often
	patience   = 3 * time.Second       // a process that was not reached for so long is lost
	again      = 50 * time.Millisecond // between two calls of the same batch
	unbegun    = 10 * time.Second      // nothing has come over a tunnel that was accepted: who has opened it has not heard of it
	batchBytes = 512 << 10             // of one batch, or one record that is larger
	window     = 1 << 20               // bytes of a tunnel that have not arrived. Beyond, Send returns ErrFull
)

// name is a tunnel among those with a process: which end has opened it, and its number there.
type name struct {
	dialed bool // here
	id     uint64
}

// peer is another process with which there are tunnels.
type peer struct {
	// Set once.
	set           *Tunnels
	node, session string
	wake          chan struct{} // of capacity 1
	epoch         uint64        // of the batches to it

	// Guarded by in, which is held while a batch is worked off.
	in                sync.Mutex
	inEpoch, inNumber uint64 // of the last batch of it

	// Guarded by mu.
	mu      sync.Mutex
	tunnels map[name]*Tunnel
	out     []record // what waits; each tunnel's part is bounded by window
	number  uint64   // of the last batch to it
	running bool     // its goroutine
	gone    bool     // it is lost
}

// record is what one message is on its way.
type record struct {
	tunnel *Tunnel
	bytes  []byte
	size   int // of the message
}

// append adds a record. Called with mu held.
func (p *peer) append(n *Tunnel, kind byte, data []byte) {
	w := make(link.Writer, 0, len(data)+16)
	w.Bool(n.dialed)
	w.Uint(n.id)
	w.Byte(kind)
	w.Bytes(data)
	p.out = append(p.out, record{n, w, len(data)})
	n.waiting += len(data)
	p.start()
	p.ring()
}

// ring has the goroutine look at what there is.
func (p *peer) ring() {
	select {
	case p.wake <- struct{}{}:
	default: // it is about to
	}
}

// start has what waits be sent. Called with mu held.
func (p *peer) start() {
	if !p.running && !p.gone {
		p.running = true
		p.set.hook.Go(p.set.done, "tunnels to a node", p.run, p.lose) // ends without tunnels, or when the process is lost
	}
}

// run sends what waits.
func (p *peer) run() {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		due := false
		select {
		case <-p.wake:
		case <-ticker.C:
			due = true
			p.reap()
		}
		for {
			batch, body, over := p.next(due)
			if over {
				return
			}
			if body == nil {
				break
			}
			due = false
			if !p.deliver(body) {
				p.lose()
				return
			}
			p.arrived(batch)
		}
	}
}

// next takes the next batch; due: even if it is empty. body is nil if there is nothing to send. over: there are no tunnels any more.
func (p *peer) next(due bool) (batch []record, body []byte, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.out) > 0:
	case len(p.tunnels) == 0 || p.gone:
		p.running = false
		return nil, nil, true
	case !due:
		return nil, nil, false
	}
	n, size := 0, 0
	for n < len(p.out) && (n == 0 || size+len(p.out[n].bytes) <= batchBytes) {
		size += len(p.out[n].bytes)
		n++
	}
	p.number++
	w := make(link.Writer, 0, size+128)
	w.Text(p.set.network.Node())
	w.Text(p.set.session)
	w.Text(p.session)
	w.Uint(p.epoch)
	w.Uint(p.number)
	batch = p.out[:n:n]
	for _, r := range batch {
		w = append(w, r.bytes...)
	}
	if p.out = p.out[n:]; len(p.out) == 0 {
		p.out = nil
	}
	return batch, w, false
}

// deliver calls the other process with a batch until it has answered. It returns false if the process is lost.
func (p *peer) deliver(body []byte) bool {
	var since time.Time // when it was first not reached
	for {
		answer, err := p.set.network.CallNode(context.Background(), p.node, CallTake, body)
		switch now := time.Now(); {
		case err == nil:
			return string(answer) == taken
		case errors.Is(err, link.ErrNoOwner): // it is not heard
			return false
		case since.IsZero():
			since = now
		case now.Sub(since) > patience:
			return false
		}
		_ = pause.For(context.Background(), again)
	}
}

// arrived makes room for more.
func (p *peer) arrived(batch []record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range batch {
		r.tunnel.waiting -= r.size
		r.tunnel.notify()
	}
}

// lose ends all tunnels to the process.
func (p *peer) lose() {
	p.set.forget(p)
	p.mu.Lock()
	p.gone, p.running, p.out = true, false, nil
	p.mu.Unlock()
	p.end(func(*Tunnel) bool {
		p.set.counts.lost.Add(1)
		return true
	})
}

// end ends some tunnels. which is called with mu held.
func (p *peer) end(which func(n *Tunnel) bool) {
	var list []*Tunnel
	p.mu.Lock()
	for key, n := range p.tunnels {
		if which(n) {
			delete(p.tunnels, key)
			n.over = true
			n.notify()
			list = append(list, n)
		}
	}
	p.mu.Unlock()
	p.ring() // there may be none any more
	for _, n := range list {
		p.set.hook.Do("end of a tunnel", n.handler.Ended)
	}
}

// reap ends tunnels of which the process that has opened them does not know.
func (p *peer) reap() {
	now := time.Now()
	p.end(func(n *Tunnel) bool { return !n.dialed && !n.begun && now.Sub(n.since) > unbegun })
}

// received gives a message to who it is for. Called with in held.
func (p *peer) received(key name, kind byte, data []byte) {
	p.mu.Lock()
	n := p.tunnels[key]
	switch {
	case n != nil:
		n.begun = true
	case kind != kindClose: // it has ended here
		p.append(&Tunnel{id: key.id, dialed: key.dialed, over: true}, kindClose, nil)
	}
	p.mu.Unlock()
	switch {
	case n == nil:
	case kind == kindClose:
		p.end(func(other *Tunnel) bool { return other == n })
	case !p.set.hook.Do("message of a tunnel", func() { n.handler.Received(kind, data) }): // to leave one out would be worse
		n.Close()
		p.set.hook.Do("end of a tunnel", n.handler.Ended)
	}
}
