package route

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/cluster/tunnel"
	"weir/relay/hub"
	"weir/relay/problem"
)

// What may wait of one client of another node. Beyond, it is closed with 1013.
const (
	mostHeld  = 1024
	heldBytes = 2 << 20
)

// errGone is for a client that is not there any more.
var errGone = errors.New("the client has gone")

// remote is a client of another node at the owner of what its messages are about. Its messages come through a tunnel, and what it is sent leaves through it. Its
// session is at the other node: there it is counted, expires, and is ended by others. It implements tunnel.Handler and pool.Owner.
type remote struct {
	// Set once.
	client  *Client
	tunnel  *tunnel.Tunnel
	node    string // where the client is connected
	id      string // of the connection
	address string

	conn     pool.Conn // when it has begun
	identity atomic.Pointer[auth.Identity]
	ending   atomic.Bool // a close is under way: messages are ignored

	// Guarded by mu.
	mu      sync.Mutex
	queue   []remoteMessage // see mostHeld and heldBytes
	bytes   int
	working bool // the goroutine that works the queue off
	ended   bool // nothing comes any more

	joined []*Group // that it has been a member of; guarded by Client.mu
	begun  bool     // owned by who works the queue off
}

// remoteMessage is what has come through a tunnel.
type remoteMessage struct {
	kind byte
	data []byte
}

// kindEnd stands behind the last message.
const kindEnd = 255

// accept decides about a client of another node, which that node has let in.
func (r *Routes) accept(t *tunnel.Tunnel, node string, head []byte) (tunnel.Handler, error) {
	var x opening
	if err := json.Unmarshal(head, &x); err != nil {
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	route := r.paths[x.Path]
	switch {
	case route == nil:
		return nil, problem.NotFound
	case r.hub.Elsewhere(x.Key):
		return nil, cluster.ErrNoOwner
	}
	c := &Client{route: route}
	c.remote = &remote{client: c, tunnel: t, node: node, id: x.Connection, address: x.Address}
	c.remote.identity.Store(&x.Identity)
	r.sessions.ForRequest(&c.session, &x.Identity, 0, protocol{c})
	if route.Admit != nil {
		var req fasthttp.Request
		req.SetRequestURI("/?" + x.Query)
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, nil, nil)
		for name, value := range x.Values {
			ctx.SetUserValue(name, value)
		}
		var err error
		if c.Value, err = route.Admit(&ctx, &x.Identity); errors.Is(err, cluster.ErrNotOwner) { // it has just moved
			return nil, cluster.ErrNoOwner
		} else if err != nil {
			return nil, err
		}
	}
	return c.remote, nil
}

// Received implements tunnel.Handler.
func (x *remote) Received(kind byte, data []byte) {
	x.mu.Lock()
	full := len(x.queue) >= mostHeld || x.bytes+len(data) > heldBytes && x.bytes > 0
	if !full {
		x.put(remoteMessage{kind, bytes.Clone(data)})
	}
	x.mu.Unlock()
	if full {
		x.close(wire.CloseOverloaded, "overloaded")
	}
}

// Ended implements tunnel.Handler. It is called for what has ended here, too.
func (x *remote) Ended() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.put(remoteMessage{kind: kindEnd})
		x.ended = true
	}
}

// put adds a message. Called with mu held.
func (x *remote) put(m remoteMessage) {
	if x.ended {
		return
	}
	x.queue = append(x.queue, m)
	x.bytes += len(m.data)
	if !x.working {
		x.working = true
		x.client.route.routes.sessions.Work("commands beside a turn", x.work, x.work) // ends when the queue is empty
	}
}

// work works the queue off. A panic costs the message, and the client, which comes back.
func (x *remote) work() {
	for {
		x.mu.Lock()
		if len(x.queue) == 0 {
			x.working = false
			x.mu.Unlock()
			return
		}
		m := x.queue[0]
		x.queue = x.queue[1:]
		x.bytes -= len(m.data)
		x.mu.Unlock()
		if !x.client.route.routes.hub.Contain.Do("message of a tunnel", func() { x.handle(m) }) {
			x.close(wire.CloseInternal, "internal error")
		}
	}
}

func (x *remote) handle(m remoteMessage) {
	c := x.client
	switch m.kind {
	case kindBegin:
		x.begun = true
		c.route.routes.hub.Pool.OpenIn(&x.conn, output{tunnel.NewConn(x.tunnel, kindOutput), x}, hub.WS, false, x)
		c.route.Open(c)
	case kindText, kindBinary:
		if x.begun && !x.ending.Load() {
			c.route.Message(c, m.data, m.kind == kindBinary)
		}
	case kindIdentity:
		id := new(auth.Identity)
		if json.Unmarshal(m.data, id) == nil {
			x.identity.Store(id)
		}
	case kindDenied:
		channel, reason, _ := strings.Cut(string(m.data), "\x00")
		if c.route.Denied != nil {
			c.route.Denied(c, channel, reason)
		}
	case kindEnd:
		x.end()
	}
}

// end ends what the client is a member of, after its last message.
func (x *remote) end() {
	x.ending.Store(true)
	c := x.client
	hook := c.route.routes.hub.Contain
	if !x.begun {
		return
	}
	hook.Do("end of a session", func() { protocol{c}.Gone(true) })
	hook.Do("end of a session", protocol{c}.Closed)
	c.mu.Lock()
	joined := x.joined
	c.mu.Unlock()
	for _, g := range joined {
		g.remotes.CompareAndDelete(x.id, c)
	}
	x.conn.Remove(nil)
}

// close ends the session at the client's node, after everything sent to it and its groups before.
func (x *remote) close(code int, reason string) {
	if x.ending.Swap(true) {
		return
	}
	groups := x.client.take()
	var left atomic.Int32
	left.Store(int32(len(groups)) + 1)
	done := func() {
		if left.Add(-1) == 0 {
			x.conn.Shut(wire.CloseFrame(code, reason), false)
		}
	}
	for _, g := range groups {
		g.detach(x.client, done)
	}
	done()
}

// refresh has the client's node take a new token.
func (x *remote) refresh(token string) error {
	body, err := x.client.route.routes.hub.Cluster.CallNode(context.Background(), x.node, callRefresh, []byte(x.id+"\x00"+token))
	if err != nil {
		return err
	}
	var answer refreshed
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if answer.Identity == nil {
		return problem.New(answer.Status, answer.Code, answer.Message, answer.Status == problem.Overloaded.Status)
	}
	x.identity.Store(answer.Identity)
	return nil
}

// output is a tunnel as the pool writes to it.
type output struct {
	*tunnel.Conn
	remote *remote
}

// Close implements net.Conn.
func (o output) Close() error {
	err := o.Conn.Close()
	o.remote.Ended()
	return err
}

// Slow implements pool.Owner.
func (x *remote) Slow() { x.cut(wire.CloseSlow, "slow") }

// Missed implements pool.Owner.
func (x *remote) Missed() { x.cut(wire.CloseInternal, "internal error") }

// cut closes at once; what waits is given up.
func (x *remote) cut(code int, reason string) {
	if !x.ending.Swap(true) {
		x.conn.Shut(wire.CloseFrame(code, reason), true)
	}
}

// Tail implements pool.Owner.
func (x *remote) Tail(dst []byte, _ *pool.Topic, _ *pool.Frame) []byte { return dst }

// Resync implements pool.Owner: groups know nothing like it.
func (x *remote) Resync(*pool.Topic) { x.Slow() }

// Readable implements pool.Owner: nothing is read.
func (x *remote) Readable() {}

// Heartbeat implements pool.Owner: the client's node does that.
func (x *remote) Heartbeat(time.Time) {}

// Check implements pool.Owner.
func (x *remote) Check(time.Time) {}
