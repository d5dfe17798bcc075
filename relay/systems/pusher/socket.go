package pusher

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
	"weir/relay/systems/pusher/protocol"
)

// socket is a client's connection. Its messages are handled one at a time.
type socket struct {
	// Set once, before the first message.
	app    *app
	key    string
	client *relay.Client
	id     string // socket_id

	// Guarded by mu: others may take a subscription away.
	mu      sync.Mutex
	subs    map[string]*subscription // by the name of the channel
	user    *user                    // signed in; nil: nobody is
	data    *protocol.SignIn         // of that user
	timer   *time.Timer              // for a connection that must sign in; nil: none
	isKnown bool                     // it has signed in, or subscribed where a signature is needed

	// Owned by the turn.
	events ratelimit.Bucket // of the client's
}

// subscription is a channel that a socket is subscribed to.
type subscription struct {
	channel *channel
	member  *member // of a presence channel
	userID  []byte  // JSON, as this connection's subscription said it
}

// activityTimeout is after how many seconds without a message a client asks whether the connection lives.
const activityTimeout = 120

// maxMessage bounds a message of a client, in bytes. What is too large for an event is told as an error below that.
const maxMessage = 1 << 20

// serveSockets serves the route of clients.
func (s *System) serveSockets(path string) {
	s.host.WebSocket(path+"/app/{key}", relay.WebSocketRoute{
		Limit: maxMessage,
		Dialect: &relay.DialectRoute{
			Dialect: &s.dialect, ID: protocol.NewSocketID, Refused: protocol.Refused, Close: protocol.Translate,
			Identify: func(ctx *fasthttp.RequestCtx) (*auth.Identity, any, string, error) {
				sock, err := s.identify(ctx)
				return &auth.Identity{Anonymous: true}, sock, "", err
			},
		},
		Open:    func(c *relay.Client) { c.Value.(*socket).open(c) },
		Message: func(c *relay.Client, data []byte, _ bool) { c.Value.(*socket).message(data) },
		Closed:  func(c *relay.Client) { c.Value.(*socket).closed(c.Abrupt()) },
		Denied: func(c *relay.Client, channel, reason string) bool {
			return c.Value.(*socket).denied(channel, reason)
		},
	})
}

// identify finds the app that a client wants to connect to, and makes its socket, which has a place among the app's connections.
func (s *System) identify(ctx *fasthttp.RequestCtx) (*socket, error) {
	key, _ := ctx.UserValue("key").(string)
	a := (*s.byKey.Load())[key]
	switch version := string(ctx.QueryArgs().Peek("protocol")); {
	case version == "":
		return nil, protocol.CloseNoProtocol
	case !slices.Contains([]string{"5", "6", "7"}, version):
		return nil, protocol.CloseProtocol
	case a == nil:
		return nil, protocol.CloseNoApp
	}
	n := a.settings.Load()
	if n.Disabled {
		return nil, protocol.CloseDisabled
	}
	if len(n.Origins) > 0 && !allowed(n.Origins, string(ctx.Request.Header.Peek("Origin"))) {
		a.refuse(refusedOrigin)
		return nil, &protocol.Closing{Code: 4009, Text: "This origin may not connect"}
	}
	if most := int64(n.Limit.Connections); most > 0 && a.connections.Load() >= most {
		a.refuse(refusedConnections)
		return nil, protocol.CloseOver
	}
	return &socket{app: a, key: strings.Clone(key), subs: make(map[string]*subscription)}, nil
}

// allowed reports whether a page may connect; what is no page need not say an origin.
func allowed(origins []string, origin string) bool {
	return origin == "" || slices.ContainsFunc(origins, func(o string) bool {
		a, errA := url.Parse(o)
		b, errB := url.Parse(origin)
		return o == origin || errA == nil && errB == nil && a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
	})
}

// open greets the client.
func (s *socket) open(c *relay.Client) {
	a := s.app
	s.client, s.id = c, c.ID()
	n := a.settings.Load()
	connected := a.connections.Add(1)
	a.mu.Lock()
	a.sockets[s.id] = s
	a.mu.Unlock()
	c.Send(protocol.Message("pusher:connection_established", []byte(`{"socket_id":"`+s.id+`","activity_timeout":`+itoa(activityTimeout)+`}`)))
	switch {
	case n.Limit.Connections > 0 && connected > int64(n.Limit.Connections): // several came at once
		a.refuse(refusedConnections)
		s.close(protocol.CloseOver)
	case a.removed.Load():
		s.close(protocol.CloseNoApp)
	case n.signers[s.key] == nil: // a reload looked before the socket was there
		s.close(protocol.CloseReconnect)
	case n.Feature.SignIn > 0:
		s.mu.Lock()
		s.timer = a.after(n.Feature.SignIn, "pusher sign-in", s.expire)
		s.mu.Unlock()
	}
}

// expire ends a connection that has not said who it is.
func (s *socket) expire() {
	s.mu.Lock()
	known := s.isKnown
	s.mu.Unlock()
	if !known {
		s.close(&protocol.Closing{Code: 4009, Text: "Connection not authorized within timeout"})
	}
}

// known notes that the client has shown a signature.
func (s *socket) known() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isKnown = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// close ends the connection with an error.
func (s *socket) close(c *protocol.Closing) {
	s.client.Send(c.Message())
	s.client.Close(c.Code, c.Text)
}

// closed is called when the connection has ended.
func (s *socket) closed(abrupt bool) {
	s.known()
	s.mu.Lock()
	subs := s.subs
	s.subs = nil
	u := s.user
	s.user = nil
	s.mu.Unlock()
	for _, sub := range subs {
		sub.channel.leave(sub.member, abrupt)
	}
	if u != nil {
		s.app.users.leave(u, s, abrupt)
	}
	s.app.mu.Lock()
	delete(s.app.sockets, s.id)
	s.app.mu.Unlock()
	s.app.connections.Add(-1)
}

// denied takes a subscription away, because a backend says so natively.
func (s *socket) denied(channel, reason string) bool {
	name := s.app.system.nameOf(channel)
	if !s.unsubscribe(name) {
		return false
	}
	s.client.Send(protocol.SubscriptionError(name, "AuthError", reason, 403))
	return true
}

// request is a message of a client.
type request struct {
	event, channel string
	data           []byte // JSON: an object, or the one that stands in a string; of client events as it came
}

// message handles one.
func (s *socket) message(b []byte) {
	var r request
	var event, channel []byte
	_, err := protocol.Read(b, protocol.Field{Name: "event", Value: &event}, protocol.Field{Name: "channel", Value: &channel}, protocol.Field{Name: "data", Value: &r.data})
	if err == nil {
		r.event, err = wire.Text(event)
	}
	if err == nil && channel != nil {
		r.channel, err = wire.Text(channel)
	}
	if err == nil && !strings.HasPrefix(r.event, protocol.ClientPrefix) && len(r.data) > 0 && r.data[0] == '"' { // JSON in a string
		var text string
		text, err = wire.Text(r.data)
		r.data = []byte(text)
	}
	if err != nil || !s.handle(&r) {
		s.client.Send(protocol.ErrorMessage(4200, "Invalid message format", ""))
	}
}

// handle returns false for a message that is none of the protocol.
func (s *socket) handle(r *request) bool {
	switch {
	case r.event == "pusher:ping":
		s.client.Pinged()
		s.client.Send([]byte(`{"event":"pusher:pong","data":"{}"}`))
		return true
	case r.event == "pusher:pong":
		s.client.Pinged()
		return true
	case r.event == "pusher:subscribe":
		return s.subscribeMessage(r.data)
	case r.event == "pusher:unsubscribe":
		var channel []byte
		_, _ = protocol.Read(r.data, protocol.Field{Name: "channel", Value: &channel})
		name, err := wire.Text(channel)
		if err == nil {
			s.unsubscribe(name)
		}
		return err == nil
	case r.event == "pusher:signin":
		return s.signIn(r.data)
	case strings.HasPrefix(r.event, protocol.ClientPrefix):
		s.clientEvent(r)
		return true
	}
	return false
}

// refusedLimit is an error of a subscription that would go beyond a limit.
func (s *socket) refusedLimit(channel, text string, status int) {
	s.client.Send(protocol.SubscriptionError(channel, "LimitReached", text, status))
}

// signatureOf splits "KEY:HEX" and finds who signs with that key.
func (s *socket) signatureOf(auth string) (who *protocol.Signer, signature string) {
	key, signature, _ := strings.Cut(auth, ":")
	return s.app.settings.Load().signers[key], signature
}

// failed is an error of the relay as a client is told it.
func failed(err error) string { return problem.Of(err).Message }
