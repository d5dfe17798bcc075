package relay

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/session"
)

// open starts a relay that lets every client with a token do everything, as adjusted. Its namespace "held"
// gathers messages until the test flushes the pool: the first tick of the only shard is ten seconds away.
func open(t testing.TB, adjust ...func(*config.Config)) *rig {
	t.Helper()
	cfg := openConfig()
	cfg.Drain = 10 * time.Millisecond
	cfg.Shards = 1
	window, eager := 10*time.Second, false
	hold := cfg.Namespaces["default"]
	hold.Batch = config.Batch{Window: &window, Eager: &eager}
	cfg.Namespaces["held"] = hold
	for _, f := range adjust {
		f(&cfg)
	}
	return launch(t, cfg)
}

// flush returns when everything accepted has been handed to the sockets.
func (g *rig) flush() { g.relay.hub.Pool.Flush() }

// stall keeps the loop of the session's shard from doing anything until the returned function is called,
// or the test ends.
func (c *client) stall() (release func()) {
	c.Helper()
	entered, gate := make(chan struct{}), make(chan struct{})
	c.session().Conn().Reply(nil, func() { close(entered); <-gate })
	<-entered
	release = sync.OnceFunc(func() { close(gate) })
	c.Cleanup(release)
	return release
}

// manyShards puts sessions and channels on different loops.
func manyShards(c *config.Config) { c.Shards = 4 }

// post publishes as the backend; the body is given without its braces.
func (g *rig) post(format string, args ...any) position {
	g.Helper()
	a := g.api(200, "POST", "/v1/publish", "{"+fmt.Sprintf(format, args...)+"}")
	return heardIn(g, []byte(a.body)).Position
}

type position struct {
	Epoch string
	Seq   uint64
}

// json is the position as wire.md writes it.
func (p position) json() string { return fmt.Sprintf(`{"epoch":"%s","seq":%d}`, p.Epoch, p.Seq) }

// heard is what a client can be told, with every field of wire.md.
type heard struct {
	Type, Code, Channel, UserID, ConnectionID, Message, Reason, Op, Group, Key, Cause string

	ID, Data                 json.RawMessage
	Retryable, Lost, More    bool
	Recovered                *bool
	Seq                      uint64
	Heartbeat, Window, Count int
	ExpiresAt                int64
	State                    map[string]map[string]json.RawMessage
	Messages, Changes        []heard
	Position                 position
	Users                    []userHeard
	raw                      string
}

type userHeard struct {
	ID, Name, Avatar, Status string
	JoinedAt                 int64
	Connections              int
}

func heardIn(t testing.TB, raw []byte) heard {
	t.Helper()
	h := heard{raw: string(raw)}
	if err := json.Unmarshal(raw, &h); err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	return h
}

// unpack is the messages of a batch, which are whole for who did not ask for less; anything else is itself.
func (h heard) unpack() []heard {
	if h.Type != "batch" {
		return []heard{h}
	}
	return h.Messages
}

// client is a WebSocket client that sees messages one by one, whatever envelope they came in.
type client struct {
	*wsPeer
	rig   *rig
	queue []heard
}

// client connects a user, perhaps with further claims.
func (g *rig) client(user string, more ...func(*auth.Claims)) *client {
	g.Helper()
	claims := auth.Claims{Sub: user}
	for _, f := range more {
		f(&claims)
	}
	return &client{wsPeer: g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+mintClaims(g, claims)), rig: g}
}

// brief connects a user who asks for the short form of batches.
func (g *rig) brief(user string) *client {
	g.Helper()
	return &client{wsPeer: g.ws(user, "Sec-WebSocket-Protocol: weir"), rig: g}
}

// may grants a token operations on channels.
func may(pattern string, ops ...string) func(*auth.Claims) {
	return func(c *auth.Claims) {
		if c.Channels == nil {
			c.Channels = make(map[string][]string)
		}
		c.Channels[pattern] = ops
	}
}

// Session is the relay's side of the connection.
func (c *client) session() *session.Session {
	c.Helper()
	s := c.rig.relay.sessions.Session(c.hello.ConnectionID)
	if s == nil {
		c.Fatal("the relay does not know the connection")
	}
	return s
}

// closedWith is the error of a client that the relay has closed.
type closedWith struct {
	code   int
	reason string
}

func (e closedWith) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

// text reads the next text message. Its error is a closedWith if the relay has closed.
func (c *client) text() ([]byte, error) {
	c.deadline(patience)
	for {
		first, payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		switch first & 0x0f {
		case wire.OpPing:
			c.raw(clientFrame(fin|wire.OpPong, payload))
		case wire.OpText:
			return payload, nil
		case wire.OpClose:
			e := closedWith{code: 1005}
			if len(payload) >= 2 {
				e = closedWith{int(binary.BigEndian.Uint16(payload)), string(payload[2:])}
			}
			c.raw(clientFrame(fin|wire.OpClose, payload[:min(len(payload), 2)]))
			return nil, e
		}
	}
}

func (c *client) try() (heard, error) {
	c.Helper()
	for len(c.queue) == 0 {
		raw, err := c.text()
		if err != nil {
			return heard{}, err
		}
		c.queue = heardIn(c, raw).unpack()
	}
	h := c.queue[0]
	c.queue = c.queue[1:]
	return h, nil
}

// hear is the next message; those of a batch come one by one.
func (c *client) hear() heard {
	c.Helper()
	h, err := c.try()
	if err != nil {
		c.Fatalf("next message: %v", err)
	}
	return h
}

// exactly takes the next message and compares it byte for byte.
func (c *client) exactly(want string) {
	c.Helper()
	if raw, err := c.text(); err != nil || string(raw) != want {
		c.Fatalf("got  %s %v\nwant %s", raw, err, want)
	}
}

// change takes the next message, which must be a change with this seq and data.
func (c *client) change(seq uint64, data string) heard {
	c.Helper()
	h := c.hear()
	if h.Type != "channel_update" && h.Type != "update" || h.Seq != seq || string(h.Data) != data {
		c.Fatalf("got %s %+v, want change %d of %s", h.raw, h, seq, data)
	}
	return h
}

// ask sends a command and takes its answer, passing over changes.
func (c *client) ask(format string, args ...any) heard {
	c.Helper()
	c.say(fmt.Sprintf(format, args...))
	for {
		if h := c.hear(); h.Type != "channel_update" && h.Type != "update" {
			return h
		}
	}
}

// subscribe follows a channel; more is further members, each with a comma before it.
func (c *client) subscribe(channel, more string) heard {
	c.Helper()
	h := c.ask(`{"type":"subscribe","id":1,"channel":"%s"%s}`, channel, more)
	if h.Type != "subscribed" || h.Channel != channel || h.Recovered == nil || string(h.ID) != "1" {
		c.Fatalf("subscribe answered %s", h.raw)
	}
	return h
}

// refused sends a command that must be answered with an error of its id, and leave the connection alive.
func (c *client) refused(code, format string, args ...any) {
	c.Helper()
	command := fmt.Sprintf(format, args...)
	if h := c.ask("%s", command); h.Type != "error" || h.Code != code || h.Message == "" || string(h.ID) != `"x"` {
		c.Errorf("%.200s: answered %.200s, want %s", command, h.raw, code)
	}
}

// quiet fails if anything has been sent to the client that it has not taken.
func (c *client) quiet() {
	c.Helper()
	c.rig.flush()
	c.say(`{"type":"ping"}`)
	if h := c.hear(); h.Type != "pong" || len(c.queue) > 0 {
		c.Fatalf("unexpected %s %+v", h.raw, h)
	}
}

// ended reads until the relay closes the connection, and closes it too.
func (c *client) ended() closedWith {
	c.Helper()
	for {
		_, err := c.try()
		var e closedWith
		if errors.As(err, &e) {
			_ = c.nc.Close()
			return e
		}
		if err != nil {
			c.Fatal(err)
		}
	}
}

// leave closes as a client that is done, and waits until the relay has forgotten it.
func (c *client) leave() {
	c.Helper()
	c.raw(clientFrame(fin|wire.OpClose, []byte{0x03, 0xe8}))
	if e := c.ended(); e.code != 1000 {
		c.Fatal(e)
	}
	c.gone()
}

// gone returns when the relay has forgotten the connection.
func (c *client) gone() {
	c.Helper()
	c.rig.until("the session ends", func() bool { return !c.rig.relay.sessions.Connected(c.hello.ConnectionID) })
}

// follower is an event stream whose messages come one by one.
type follower struct {
	*ssePeer
	lastID string
	queue  []heard
}

// follow opens an event stream on channels as a user that resumes from an id, if there is one.
func (g *rig) follow(user, lastID string, channels ...string) *follower {
	g.Helper()
	lines := []string{"Authorization: Bearer " + mint(g, user)}
	if lastID != "" {
		lines = append(lines, "Last-Event-ID: "+lastID)
	}
	return &follower{ssePeer: g.sseWith("/sse?channel="+strings.Join(channels, "&channel="), lines...), lastID: lastID}
}

// hear is the next message; those of a batch come one by one.
func (f *follower) hear() heard {
	f.Helper()
	for len(f.queue) == 0 {
		_ = f.nc.SetDeadline(time.Now().Add(patience))
		e := f.event()
		switch {
		case e.id != "":
			f.lastID = e.id
		case e.name != "connected" && e.name != "unsubscribed" && e.name != "error": // of no place in a channel
			f.Fatalf("event %s has no id", e.name)
		}
		h := heardIn(f, []byte(e.data))
		if h.Type != e.name {
			f.Fatalf("event %s carries %s", e.name, e.data)
		}
		f.queue = h.unpack()
	}
	h := f.queue[0]
	f.queue = f.queue[1:]
	return h
}
