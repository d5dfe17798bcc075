package pusher

import (
	"crypto/rand"
	"encoding/binary"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
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
	data    *signIn                  // of that user
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

// socketID makes a connection's id: two numbers that nobody guesses.
func socketID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	const most = 1<<53 - 1 // what numbers of JavaScript hold
	first, second := binary.BigEndian.Uint64(b[:8])&most, binary.BigEndian.Uint64(b[8:])&most
	return string(strconv.AppendUint(append(strconv.AppendUint(nil, first, 10), '.'), second, 10))
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
			Dialect: &s.dialect, ID: socketID, Refused: refused, Close: translate,
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
	switch protocol := string(ctx.QueryArgs().Peek("protocol")); {
	case protocol == "":
		return nil, closeNoProtocol
	case !slices.Contains([]string{"5", "6", "7"}, protocol):
		return nil, closeProtocol
	case a == nil:
		return nil, closeNoApp
	}
	n := a.settings.Load()
	if n.Disabled {
		return nil, closeDisabled
	}
	if len(n.Origins) > 0 && !allowed(n.Origins, string(ctx.Request.Header.Peek("Origin"))) {
		a.refuse(refusedOrigin)
		return nil, &closing{4009, "This origin may not connect"}
	}
	if most := int64(n.Limit.Connections); most > 0 && a.connections.Load() >= most {
		a.refuse(refusedConnections)
		return nil, closeOver
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
	c.Send(message("pusher:connection_established", []byte(`{"socket_id":"`+s.id+`","activity_timeout":`+itoa(activityTimeout)+`}`)))
	switch {
	case n.Limit.Connections > 0 && connected > int64(n.Limit.Connections): // several came at once
		a.refuse(refusedConnections)
		s.close(closeOver)
	case a.removed.Load():
		s.close(closeNoApp)
	case n.signers[s.key] == nil: // a reload looked before the socket was there
		s.close(closeReconnect)
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
		s.close(&closing{4009, "Connection not authorized within timeout"})
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
func (s *socket) close(c *closing) {
	s.client.Send(c.message())
	s.client.Close(c.code, c.text)
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
	s.client.Send(subscriptionError(name, "AuthError", reason, 403))
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
	_, err := read(b, field{"event", &event}, field{"channel", &channel}, field{"data", &r.data})
	if err == nil {
		r.event, err = wire.Text(event)
	}
	if err == nil && channel != nil {
		r.channel, err = wire.Text(channel)
	}
	if err == nil && !strings.HasPrefix(r.event, clientPrefix) && len(r.data) > 0 && r.data[0] == '"' { // JSON in a string
		var text string
		text, err = wire.Text(r.data)
		r.data = []byte(text)
	}
	if err != nil || !s.handle(&r) {
		s.client.Send(errorMessage(4200, "Invalid message format", ""))
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
		_, _ = read(r.data, field{"channel", &channel})
		name, err := wire.Text(channel)
		if err == nil {
			s.unsubscribe(name)
		}
		return err == nil
	case r.event == "pusher:signin":
		return s.signIn(r.data)
	case strings.HasPrefix(r.event, clientPrefix):
		s.clientEvent(r)
		return true
	}
	return false
}

// refusedLimit is an error of a subscription that would go beyond a limit.
func (s *socket) refusedLimit(channel, text string, status int) {
	s.client.Send(subscriptionError(channel, "LimitReached", text, status))
}

// subscriptionError tells that a subscription has failed.
func subscriptionError(channel, kind, text string, status int) []byte {
	b := wire.AppendString([]byte(`{"event":"pusher:subscription_error","channel":`), channel)
	b = wire.AppendString(append(b, `,"data":{"type":"`+kind+`","error":`...), text)
	return append(b, `,"status":`+itoa(status)+"}}"...)
}

// signatureOf splits "KEY:HEX" and finds who signs with that key.
func (s *socket) signatureOf(auth string) (who *signer, signature string) {
	key, signature, _ := strings.Cut(auth, ":")
	return s.app.settings.Load().signers[key], signature
}

// failed is an error of the relay as a client is told it.
func failed(err error) string { return problem.Of(err).Message }
