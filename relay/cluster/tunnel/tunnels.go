package tunnel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
	"weir/relay/cluster/link"
	"weir/relay/problem"
)

// The kinds of calls that processes make of each other, for Open and Take.
const (
	CallOpen = "tunnel.open"
	CallTake = "tunnel.take"
)

// network is the other processes, as Tunnels need them; see cluster.Cluster.
type network interface {
	Node() string
	Call(ctx context.Context, key, kind string, body []byte) ([]byte, error)
	CallNode(ctx context.Context, node, kind string, body []byte) ([]byte, error)
}

// accept decides about a tunnel that another process opens; node is its name. It may block. An error refuses the tunnel: its text reaches a client.
// ErrNoOwner: the other process asks the next owner.
type accept func(t *Tunnel, node string, head []byte) (Handler, error)

// Tunnels are those of this process. Methods may be called concurrently.
type Tunnels struct {
	// Set once.
	network network
	accept  accept
	hook    contain.Hook
	done    *sync.WaitGroup // of all goroutines
	session string          // of this process
	closed  atomic.Bool     // none is opened any more
	counts  counts          // atomic

	mu     sync.Mutex
	peers  map[string]*peer // by session; guarded by mu
	number uint64           // of the last tunnel that was opened here; guarded by mu
}

// New makes the tunnels of a process; accepts decides about those that others open: it may block. Its goroutines are counted by done. They end after Close, when what waits has arrived or the cluster is left.
func New(others network, accepts accept, hook contain.Hook, done *sync.WaitGroup) *Tunnels {
	return &Tunnels{network: others, accept: accepts, hook: hook, done: done, session: rand.Text(), peers: make(map[string]*peer)}
}

// Dial opens a tunnel to the owner of a key, which another process is. head is what the owner's accept function gets; handle returns who gets what comes. It waits for
// the answer. Errors: ErrNoOwner, those of cluster.Cluster.Call, and why the owner refuses it, which a client can be told.
func (t *Tunnels) Dial(ctx context.Context, key string, head []byte, handle func(*Tunnel) Handler) (*Tunnel, error) {
	t.mu.Lock()
	t.number++
	id := t.number
	t.mu.Unlock()
	var w link.Writer
	w.Text(t.network.Node())
	w.Text(t.session)
	w.Uint(id)
	w.Bytes(head)
	answer, err := t.network.Call(ctx, key, CallOpen, w)
	if err != nil {
		return nil, err //nolint:wrapcheck // it is told as it is
	}
	r := link.Reader{Rest: answer}
	if refused := r.Bool(); refused {
		status, code, message, retryable := int(r.Uint()), r.Text(), r.Text(), r.Bool()
		if r.Err != nil {
			return nil, r.Err
		}
		return nil, problem.New(status, code, message, retryable)
	}
	node, session := r.Text(), r.Text()
	switch {
	case r.Err != nil:
		return nil, r.Err
	case t.closed.Load(), session == t.session: // it has moved here meanwhile
		return nil, link.ErrNoOwner
	}
	n := &Tunnel{id: id, dialed: true}
	n.handler = handle(n)
	t.counts.dialed.Add(1)
	t.add(node, session, n)
	return n, nil
}

// Open answers CallOpen.
func (t *Tunnels) Open(body []byte) ([]byte, error) {
	r := link.Reader{Rest: body}
	node, session, id, head := r.Text(), r.Text(), r.Uint(), r.Bytes()
	switch {
	case r.Err != nil:
		return nil, r.Err
	case session == t.session, t.closed.Load():
		return nil, link.ErrNoOwner
	}
	n := &Tunnel{id: id, since: time.Now()}
	h, err := t.accept(n, node, head)
	if errors.Is(err, link.ErrNoOwner) {
		return nil, link.ErrNoOwner
	}
	var w link.Writer
	w.Bool(err != nil)
	if err != nil {
		why := problem.Of(err)
		if why == problem.Internal {
			return nil, fmt.Errorf("open a tunnel: %w", err)
		}
		w.Uint(uint64(why.Status))
		w.Text(why.Code)
		w.Text(why.Message)
		w.Bool(why.Retryable)
		return w, nil
	}
	n.handler = h
	t.add(node, session, n)
	w.Text(t.network.Node())
	w.Text(t.session)
	return w, nil
}

// add puts a tunnel to those of a process.
func (t *Tunnels) add(node, session string, n *Tunnel) {
	for {
		p := t.peer(node, session)
		p.mu.Lock()
		if !p.gone {
			n.peer.Store(p)
			p.tunnels[name{n.dialed, n.id}] = n
			p.start()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// peer is a process, which is made if need be.
func (t *Tunnels) peer(node, session string) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[session]
	if p == nil {
		p = &peer{set: t, node: node, session: session, wake: make(chan struct{}, 1), epoch: uint64(time.Now().UnixNano()), tunnels: make(map[name]*Tunnel)}
		t.peers[session] = p
	}
	return p
}

// forget takes a process out that is lost.
func (t *Tunnels) forget(p *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peers[p.session] == p {
		delete(t.peers, p.session)
	}
}

// The answers to a batch.
const (
	taken   = "" // it is worked off
	unknown = "unknown"
)

// Take answers CallTake: it works off a batch.
func (t *Tunnels) Take(body []byte) ([]byte, error) {
	r := link.Reader{Rest: body}
	node, session, to, epoch, number := r.Text(), r.Text(), r.Text(), r.Uint(), r.Uint()
	switch {
	case r.Err != nil:
		return nil, r.Err
	case to != t.session: // of a process that this node had before
		return []byte(unknown), nil
	}
	p := t.peer(node, session)
	p.in.Lock()
	defer p.in.Unlock()
	switch {
	case epoch == p.inEpoch && number == p.inNumber: // it comes again
		return []byte(taken), nil
	case epoch == p.inEpoch && number == p.inNumber+1:
	case epoch != p.inEpoch && number == 1:
		if p.inEpoch != 0 { // it has given up what there was
			p.end(func(n *Tunnel) bool { return n.begun })
		}
		p.inEpoch = epoch
	default:
		return []byte(unknown), nil
	}
	p.inNumber = number
	for len(r.Rest) > 0 {
		dialed, id, kind, data := r.Bool(), r.Uint(), r.Byte(), r.Bytes()
		if r.Err != nil {
			return nil, r.Err
		}
		p.received(name{!dialed, id}, kind, data)
	}
	return []byte(taken), nil
}

// Close ends all tunnels, and tells the other ends. None is opened any more.
func (t *Tunnels) Close() {
	t.closed.Store(true)
	t.mu.Lock()
	peers := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		peers = append(peers, p)
	}
	t.mu.Unlock()
	for _, p := range peers {
		p.end(func(n *Tunnel) bool {
			p.append(n, kindClose, nil)
			return true
		})
	}
}
