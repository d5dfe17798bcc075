package route

import (
	"slices"
	"sync"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/native"
	"weir/relay/problem"
	"weir/relay/session"
)

// Client is a session of a route of a system.
type Client struct {
	// Value is the system's own, as Admit answered it.
	Value any

	// Set once.
	session session.Session
	route   *WebSocket
	stream  *Stream // nil: it is a WebSocket
	head    []byte  // of a stream: what its answer begins with; nil once Begin was called
	abrupt  bool    // set before WebSocket.Closed is called
	remote  *remote // nil: it is connected to this node

	// Guarded by mu, which is taken after a group's.
	mu       sync.Mutex
	groups   []*Group
	forwards []*Forwarded // ways to other nodes, which end with the client
	ended    bool         // it joins none any more
}

// ID is the connection's id.
func (c *Client) ID() string {
	if c.remote != nil {
		return c.remote.id
	}
	return c.session.ID()
}

// Remote reports whether the client is connected to another node, which forwards its messages.
func (c *Client) Remote() bool { return c.remote != nil }

// Identity is who the client is. It changes when its token is refreshed.
func (c *Client) Identity() *auth.Identity {
	if c.remote != nil {
		return c.remote.identity.Load()
	}
	return c.session.Identity()
}

// address is the client's, as limits count it.
func (c *Client) address() string {
	if c.remote != nil {
		return c.remote.address
	}
	return c.session.Address()
}

// conn is what the client's messages are written to.
func (c *Client) conn() *pool.Conn {
	if c.remote != nil {
		return &c.remote.conn
	}
	return c.session.Conn()
}

// Send sends a message of JSON in turn with everything that was sent before and is not waiting in a group's
// window. It may be called from anywhere, and keeps nothing of data.
func (c *Client) Send(data []byte) { c.conn().Reply(c.frame(data, false), nil) }

// SendBinary is Send for a binary message.
func (c *Client) SendBinary(data []byte) { c.conn().Reply(c.frame(data, true), nil) }

// Pong sends the answer to a ping of the client. id is the message's, as it came; it may be nil.
func (c *Client) Pong(id []byte) {
	c.session.Pinged()
	c.Send(native.Pong(id))
}

// Pinged notes a ping of the client in its protocol.
func (c *Client) Pinged() { c.session.Pinged() }

// SendError sends the client an error, as the native protocol does. id is the message's, as it came; it
// may be nil.
func (c *Client) SendError(id []byte, err error) { c.Send(c.session.Failure(id, err)) }

// Refresh extends the session with a new token of the same user. Errors can be told as they are.
func (c *Client) Refresh(token string) error {
	if c.remote != nil {
		return c.remote.refresh(token)
	}
	_, err := c.session.Refresh(token)
	if err == nil {
		c.session.Schedule()
	}
	return err
}

// Close ends the session, after everything sent to it and its groups before. It returns at once. Code is one
// of those of the protocol, or the system's own from 4400 on; on a route with a dialect it is one of the dialect's.
func (c *Client) Close(code int, reason string) {
	if c.remote != nil {
		c.remote.close(code, reason)
		return
	}
	c.session.Close(session.Closing{Code: code, Reason: reason, Final: c.route.Dialect != nil})
}

// Abrupt reports, while WebSocket.Closed runs, whether the connection has broken off without a close.
func (c *Client) Abrupt() bool { return c.abrupt }

// Follow is what a client of a dialect follows.
type Follow struct {
	Channel string
	Groups  []string // only these groups; none: all
	Key     string   // only this item of each of them; "": all

	// First appends to each of the messages that the client gets first, in one step with joining, to the list. It runs under the
	// channel's lock. nil: none.
	First func(r broker.Reply) (messages [][]byte)
}

// Follow subscribes the client to a channel, or sends it First again if it is subscribed. Who may is the system's to say. It may
// wait for a subscription to the same channel that has just been ended, and for a durable channel to be loaded. Errors can be
// told as they are: the client follows too many channels, or is ending.
func (c *Client) Follow(f Follow) error {
	if !wire.ValidChannel(f.Channel) {
		return problem.BadChannel
	}
	return c.session.Subscribe(&session.SubscribeRequest{
		Channel: f.Channel, JoinRequest: broker.JoinRequest{Groups: f.Groups, Key: f.Key}, Revocations: c.route.routes.sessions.Revocations(),
		First: func(r broker.Reply) (out []byte) {
			if f.First != nil {
				for _, message := range f.First(r) {
					out = hub.AppendText(out, c.session.Encoding(), message)
				}
			}
			return out
		},
	})
}

// Unfollow ends the subscription to a channel, after what was accepted before has been sent. It returns false if there is none.
func (c *Client) Unfollow(channel string) bool { return c.session.Unsubscribe(channel, nil) }

// frame is a message as the client's connection takes it; nil if it is empty.
func (c *Client) frame(data []byte, isBinary bool) []byte {
	if len(data) == 0 {
		return nil
	}
	enc := hub.WS
	if c.remote == nil {
		enc = c.session.Encoding()
	}
	return appendFrame(nil, enc, data, isBinary)
}

// enter notes a membership. It returns false if the client is ending, or is a member already.
func (c *Client) enter(g *Group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || slices.Contains(c.groups, g) {
		return false
	}
	c.groups = append(c.groups, g)
	if c.remote != nil && !slices.Contains(c.remote.joined, g) {
		c.remote.joined = append(c.remote.joined, g)
	}
	return true
}

// leave forgets a membership. It returns false if there is none.
func (c *Client) leave(g *Group) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.groups, g)
	if i < 0 {
		return false
	}
	c.groups = slices.Delete(c.groups, i, i+1)
	return true
}

// take empties the memberships and lets no more begin.
func (c *Client) take() []*Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := c.groups
	c.groups, c.ended = nil, true
	return groups
}
