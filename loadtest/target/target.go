package target

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"weir/loadtest/codec"
	"weir/loadtest/protocol"
)

// ErrTarget means that a target cannot be used as asked: an unknown name, a bad address, or something
// this kind of server cannot do.
var ErrTarget = errors.New("unusable target")

// Target is one kind of server. Byte slices handed to its methods are valid during the call only.
type Target interface {
	// Open is the request that opens a subscriber's connection. The engine adds what a WebSocket
	// handshake needs.
	Open(s *Subscriber) codec.Request
	// Greet takes what arrives until the subscriber is subscribed, and returns what to send next. It
	// is called with nil when the connection is open. It sets Subscribed, and calls seen for what is
	// delivered along with the subscription. An error ends the connection: the server said no.
	Greet(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error)
	// Read takes one message of a subscribed connection, calls seen for what it carries, and returns
	// what to answer, if anything. ErrProtocol when it is not understood.
	Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error)
	// Publish appends one request (or WebSocket frame) that publishes the messages. There are never
	// more than Traits().Batch.
	Publish(dst []byte, msgs []Message) []byte
	// Refused returns how many of the n messages of a request were not accepted.
	Refused(status int, body []byte, n int) int
	Traits() Traits
}

// Traits is what the engine has to know about a kind of server.
type Traits struct {
	Stream   Stream // what subscribers read
	Socket   bool   // messages are published on a WebSocket, which answers nothing
	Batch    int    // messages in one request at most
	Resume   bool   // a position can be resumed from
	Presence string // before a channel's name: the channel that tells who is in it; empty when there is none
	Settle   bool   // subscribing is not confirmed: wait a moment before publishing
	Framed   bool   // replies are whole WebSocket frames, one or more
	Chatter  bool   // short messages are no deliveries, and come at times of their own
	Joins    bool   // publishers on a WebSocket have to subscribe to what they publish to
	placed   bool   // the request that opens a connection says its channel: it follows that one
	Bound    bool   // likewise of publishers: a WebSocket publishes to that one alone
	Single   bool   // nothing tells channels apart: there is one
}

// One reports whether a connection follows one channel.
func (t Traits) One() bool {
	return t.placed || t.Single || t.Stream == EventStream && !t.Resume
}

// Joiner is a Target whose clients may subscribe to more channels later. Those of others say all of them when they connect.
type Joiner interface {
	// Join returns what subscribes to the channels from the given one on. Greet takes what arrives until it has
	// set Subscribed again.
	Join(s *Subscriber, from int) []byte
	// Joins reports whether it is so with this configuration.
	Joins() bool
}

// Refuser is a Target whose answers say which messages of a request were refused.
type Refuser interface {
	// RefusedOf returns their numbers in the request, from 0; nil if the answer does not say it.
	RefusedOf(status int, body []byte, n int) []int
}

// Beater is a Target whose clients say something from time to time.
type Beater interface {
	// Beat is what a client sends, as whole frames; nil when it is not subscribed.
	Beat(s *Subscriber) []byte
	// Every is how often, in ns; 0: never.
	Every() int64
}

// Stream is the kind of connection that subscribers read.
type Stream uint8

// The kinds of stream.
const (
	WebSocket Stream = iota
	EventStream
)

// Subscriber is the protocol state of one connection.
type Subscriber struct {
	// Set by the engine before the connection opens.
	Index     int
	User      string
	Token     string
	Publisher bool // it publishes on a WebSocket; its channels are those that it publishes to, if it has to join them
	Channels  []Followed

	// Owned by the adapter, on the connection's loop.
	Subscribed bool
	confirmed  int            // channels whose subscription was confirmed
	named      int            // channels in the address, the first ones
	welcomed   bool           // the relay has said that the connection is open, and which channels of the address it has read
	Cursor     []byte         // event stream: the last event's id
	counted    map[string]int // dashboards: events of each metric that they were told of
	read       int            // members of rooms: messages that they have read
	session    *session       // protocols that a file describes
}

// Followed is a channel of a subscriber, and where it stands in it.
type Followed struct {
	Name   string
	Number int  // of the channel in the test
	Watch  bool // a channel about who is here: its items are not messages
	Epoch  string
	Seq    uint64
	Known  bool // Epoch and Seq are a position
}

// Message is one message to publish.
type Message struct {
	Channel string
	Data    []byte // JSON
	Group   string // with Key: the message is the new value of an item
	Key     string
	TTL     int // ms until the item expires; 0 never
}

// Sink receives what a message carries.
type Sink interface {
	// Delivered is called for each message published to a channel, in order. followed is its index in
	// Subscriber.Channels, seq 0 when the server does not number messages, key empty when it names none.
	Delivered(followed int, seq uint64, key, data []byte, deleted bool)
	// Reset is called when the server says that what came before in the channel may be missing.
	Reset(followed int)
}

// Options configures a target.
type Options struct {
	Name      string // weir, centrifugo, pusher, mercure, nchan, sse, ws, or what Protocol describes
	URL       string // http or https; http://127.0.0.1:8080. Several, with commas between: connections take them in turn
	Publish   string // address to publish to, when it is another; {channel} stands for the channel. Several, likewise
	Close     bool   // publishers ask for their connection to be closed after each request, as PHP's do
	Key       string // what publishers authenticate with; weir: "dev"; pusher: app:key:secret; mercure: a token, or one with the key of its documentation
	Transport string // weir: ws (default) or sse, with batches in their short form; ws-whole or sse-whole
	System    string // weir: a system to drive instead of channels: chat or analytics; "" none

	Headers  [][2]string        // more headers of subscribers' requests, whatever the kind
	Protocol *protocol.Protocol // describes the server, if it is none of the kinds that Names has; nil
}

// Head adds to a request what is asked for beyond what the kind of server needs.
func (o *Options) Head(r codec.Request) codec.Request {
	for _, h := range o.Headers {
		r = r.With(h[0], h[1])
	}
	return r
}

// Names are the kinds of server that New knows.
func Names() []string {
	return []string{"weir", "centrifugo", "pusher", "mercure", "nchan", "sse", "ws"}
}

// DefaultURL is where a target is when nobody says it.
const DefaultURL = "http://127.0.0.1:8080"

// Endpoint is where a target is.
type Endpoint struct {
	TLS  bool
	Host string   // as sent in Host
	Addr string   // host:port to connect to
	Path string   // path and query
	More []string // of what else is one with it, as Addr: connections take all of them in turn

	close bool // connections are to be closed after each request that publishes
}

// New returns the target of the options and where its subscribers and its publishers connect. The
// error wraps ErrTarget.
func New(o Options) (t Target, subscribe, publish Endpoint, err error) {
	if o.Protocol != nil && o.URL == "" {
		o.URL = o.Protocol.URL
	}
	if o.URL == "" {
		o.URL = DefaultURL
	}
	if subscribe, err = parse(o.URL); err != nil {
		return nil, Endpoint{}, Endpoint{}, err
	}
	publish = subscribe
	if o.Publish != "" {
		if publish, err = parse(o.Publish); err != nil {
			return nil, Endpoint{}, Endpoint{}, err
		}
	}
	publish.close = o.Close
	if o.Protocol != nil && !slices.Contains(Names(), o.Protocol.Use) {
		return newCustom(o, subscribe, publish)
	}
	switch o.Name {
	case "weir", "":
		switch o.System {
		case "":
			t, err = newWeir(o, subscribe, publish)
		case chat:
			t, err = newWeirChat(o, subscribe, publish)
		case analytics:
			t, err = newWeirAnalytics(o, subscribe, publish)
		default:
			err = fmt.Errorf("system %q: expected %s or %s: %w", o.System, chat, analytics, ErrTarget)
		}
	case "centrifugo":
		t = newCentrifugo(o, subscribe, publish)
	case "pusher":
		t, err = newPusher(o, subscribe, publish)
	case "mercure":
		t = newMercure(o, subscribe, publish)
	case "nchan":
		t = newNchan(o, subscribe, publish)
	case "sse":
		t = newPlainEvents(o, subscribe, publish)
	case "ws":
		t = newPlainSocket(o, subscribe, publish)
	default:
		err = fmt.Errorf("target %q: expected %s, or a file ending in .yaml: %w", o.Name, strings.Join(slices.Concat(Names(), protocol.Names()), ", "), ErrTarget)
	}
	return t, subscribe, publish, err
}

// another is where the next one of several addresses begins.
var another = regexp.MustCompile(`,(?:https?|wss?)://`)

// parse reads an address, or several of one kind with commas between.
func parse(addresses string) (first Endpoint, err error) {
	for len(addresses) > 0 || first.Addr == "" {
		address, rest := addresses, ""
		if at := another.FindStringIndex(addresses); at != nil {
			address, rest = addresses[:at[0]], addresses[at[0]+1:]
		}
		e, err := parseOne(address)
		switch {
		case err != nil:
			return Endpoint{}, err
		case first.Addr == "":
			first = e
		case e.TLS != first.TLS || e.Path != first.Path:
			return Endpoint{}, fmt.Errorf("address %q: expected the scheme and the path of the first one: %w", address, ErrTarget)
		default:
			first.More = append(first.More, e.Addr)
		}
		addresses = rest
	}
	return first, nil
}

func parseOne(address string) (Endpoint, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) {
		return Endpoint{}, fmt.Errorf("address %q: expected http://host:port or https://host:port: %w", address, ErrTarget)
	}
	e := Endpoint{TLS: u.Scheme == "https" || u.Scheme == "wss", Host: u.Host, Path: u.RequestURI()}
	port := u.Port()
	if port == "" {
		port = "80"
		if e.TLS {
			port = "443"
		}
	}
	e.Addr = net.JoinHostPort(u.Hostname(), port)
	return e, nil
}

// All are the addresses to connect to.
func (e Endpoint) All() []string { return append([]string{e.Addr}, e.More...) }

// Loopback reports whether the endpoint is on this machine by its addresses: names other than localhost
// are not looked up, they might be anybody's.
func (e Endpoint) Loopback() bool {
	return !slices.ContainsFunc(e.All(), func(addr string) bool {
		host, _, err := net.SplitHostPort(addr)
		ip := net.ParseIP(host)
		return err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback())
	})
}

// at joins a path under the endpoint's own.
func (e Endpoint) at(path string) string {
	base, _, _ := strings.Cut(e.Path, "?")
	return strings.TrimSuffix(base, "/") + path
}

// get is a GET request for a path.
func (e Endpoint) get(path string) codec.Request {
	return codec.Request{Method: "GET", Path: path, Host: e.Host}
}

// fill puts a channel's name into a path at {channel}; ok is false when the path has no such place.
func fill(path, channel string) (filled string, ok bool) {
	path = strings.ReplaceAll(path, "%7Bchannel%7D", "{channel}")
	filled = strings.ReplaceAll(path, "{channel}", url.QueryEscape(channel))
	return filled, filled != path
}

// filled is the path with the channel's name where it has a place for it.
func filled(path, channel string) string {
	path, _ = fill(path, channel)
	return path
}

// find is the index of the channel a subscriber follows, -1 when it follows none of that name.
func (s *Subscriber) find(name string) int {
	for i := range s.Channels {
		if s.Channels[i].Name == name {
			return i
		}
	}
	return -1
}
