package simulate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/internal/memnet"
	"weir/loadtest/codec"
	"weir/relay/auth"
	"weir/relay/relaytest/ledger"
)

// client is one reader, who comes back and resumes for as long as the run lasts.
type client struct {
	// Set once.
	w      *world
	name   string
	sse    bool
	plain  bool // it knows no appends: it gets the whole text now and then, so that changes may be left out
	reader *ledger.Reader
	rand   *rand.Rand    // owned by run
	back   chan struct{} // tells run to stay away no longer; room for one

	mu sync.Mutex
	// Guarded by mu.
	views   []*view
	link    *memnet.Conn // nil: not connected
	server  *server      // that it is connected to
	issued  time.Time    // its token, by the clock of that
	open    bool         // the first message has come
	lastID  string       // of an event stream
	until   time.Time    // stays away until then
	defects int          // changes seen, for a defect
	held    []byte
}

// tokenLife is how long the token of a client is good, which gets a new one each time it connects.
const tokenLife = time.Hour

// errEnd ends a conversation that the relay has closed.
var errEnd = errors.New("closed by the relay")

func (c *client) problem(format string, args ...any) {
	c.w.story.problem(c.name+": "+format, args...)
}

// run connects, again and again, until ctx ends.
func (c *client) run(ctx context.Context) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		s := c.w.nodes[0]
		if c.w.clustered() {
			s = c.w.nodes[c.rand.IntN(len(c.w.nodes))]
		}
		nc, _, err := s.dial(ctx)
		if err == nil {
			end := context.AfterFunc(ctx, func() { nc.Cut(0) })
			c.attach(nc, s)
			err = c.talk(nc)
			c.detach()
			end()
			s.hangUp(nc)
			c.w.story.tell("%s at %d: %v", c.name, s.number, err)
		}
		pause = min(2*pause+50*time.Millisecond, 3*time.Second)
		if err == nil || errors.Is(err, errEnd) {
			pause = 0
		}
		wait := c.pause(pause/2 + time.Duration(c.rand.Int64N(int64(pause/2+time.Millisecond))))
		select {
		case <-time.After(wait):
		case <-c.back:
		case <-ctx.Done():
		}
	}
}

// pause is d, or as long as the client is to stay away.
func (c *client) pause(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(d, time.Until(c.until))
}

func (c *client) attach(nc *memnet.Conn, s *server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.server, c.issued, c.open, c.held = nc, s, s.machine.clock(), false, nil
	for _, v := range c.views {
		v.follows, v.leaving, v.asked = false, false, false
		v.met = meeting{c.w.lives(int(v.number)), s.incarnated()}
	}
	c.w.connected.Add(1)
}

func (c *client) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.open = nil, false
}

// talk holds a conversation. Its error says how it ended.
func (c *client) talk(nc *memnet.Conn) error {
	token, err := auth.Mint(secret, "", auth.Claims{Sub: c.name, IssuedAt: c.issued, TTL: tokenLife})
	if err != nil {
		return err
	}
	req := codec.Request{Method: "GET", Path: "/ws" + c.features("?"), Host: "simulated"}.With("Authorization", "Bearer "+token)
	status := http.StatusSwitchingProtocols
	if c.sse {
		req.Path, status = c.streamPath(), http.StatusOK
		if id := c.cursor(); id != "" {
			req = req.With("Last-Event-ID", id)
		}
	} else {
		req = req.Upgrade()
	}
	if _, err := nc.Write(req.Append(nil)); err != nil {
		return err
	}
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != status {
		if resp.StatusCode != http.StatusServiceUnavailable {
			c.problem("connect: %s", resp.Status)
		}
		return fmt.Errorf("connect: %s", resp.Status)
	}
	var feed func([]byte) error
	body := io.Reader(br)
	if c.sse {
		var events codec.Events
		body = resp.Body
		feed = func(b []byte) error { return events.Feed(b, c.event) }
	} else {
		messages := codec.Messages{Control: c.control}
		feed = func(b []byte) error { return messages.Feed(b, c.receive) }
	}
	buf := make([]byte, 4<<10)
	for delay := time.Duration(c.rand.IntN(120)) * time.Millisecond; ; time.Sleep(delay) { // meanwhile bytes are under way
		n, err := body.Read(buf)
		if e := feed(buf[:n]); e != nil {
			return e
		}
		if err != nil {
			return err
		}
	}
}

// control answers pings, and takes the relay's word that this is the end.
func (c *client) control(op byte, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch op {
	case codec.OpPing:
		_, _ = c.link.Write(codec.AppendFrame(nil, codec.OpPong, payload)) // if it fails the next read does
	case codec.OpClose:
		_, _ = c.link.Write(codec.AppendFrame(nil, codec.OpClose, payload[:min(2, len(payload))]))
		if len(payload) < 2 {
			return fmt.Errorf("%w without a code", errEnd)
		}
		code := int(payload[0])<<8 | int(payload[1])
		if !slices.Contains([]int{1000, 4001, 4008, 4009, 4100}, code) && (code != 1013 || !c.w.clustered()) { // the owner of the user's channel is not reached
			c.problem("closed with %d %s", code, payload[2:])
		}
		return fmt.Errorf("%w: %d", errEnd, code)
	}
	return nil
}

// receive takes one message of a WebSocket, through the defect of this run, if there is one.
func (c *client) receive(payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.mangle(payload) {
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			c.problem("%v in %.200q", err, b)
			continue
		}
		c.take(&m)
	}
	return nil
}

// take handles a message. The caller holds mu.
func (c *client) take(m *message) {
	switch m.Type {
	case "connected":
		c.open = true
		for _, v := range c.views {
			if v.wanted && !c.sse {
				c.subscribe(v)
			}
		}
	case "subscribed", "resync":
		v := c.view(m.Channel)
		if v == nil {
			return // an event stream is told of the user's own channel
		}
		c.told(v, m)
	case "channel_update":
		c.changed(m.Channel, m)
	case "batch":
		for i := range m.Messages {
			channel := m.Channel
			if channel == "" {
				channel = m.Messages[i].Channel
			}
			c.changed(channel, &m.Messages[i])
		}
	case "ok":
		for _, v := range c.views {
			if string(m.ID) == `"leave-`+v.name+`"` {
				v.follows, v.leaving = false, false
				if v.wanted { // by now
					c.subscribe(v)
				}
			}
		}
	case "error":
		expired := m.Code == "token_expired" && c.server.machine.clock().Sub(c.issued) >= tokenLife-time.Second // its clock was set; tokens have whole seconds
		if !expired && (!c.w.clustered() || m.Code != "unavailable" && m.Code != "draining" && (m.Code != "storage" || !c.w.options.Durable)) {
			c.problem("told %+v", *m)
		}
		c.link.Cut(0) // the node of the channel is not reached: another one may reach it
	case "update", "pong", "closed":
	default:
		c.problem("told %+v", *m)
	}
}

// told handles where a channel stands. The caller holds mu.
func (c *client) told(v *view, m *message) {
	if c.w.options.Calm && v.known && (v.at.Seq > 0 || v.durable) && m.Position.Epoch != v.at.Epoch {
		c.problem("%s went from %v to %v, though no node was lost", v.name, v.at, m.Position)
	}
	switch {
	case m.Type == "resync" && c.sse:
		v.stand(c, m)
	case m.Type == "resync":
		if !v.follows {
			c.problem("resync of %s, which it does not follow", v.name)
		}
		v.stand(c, m)
	case c.sse:
		v.answered(c, m, v.known && c.lastID != "")
	case string(m.ID) == `"again"`: // the snapshot of where it stands already, or later if it was too slow
		// Changes that wait to be sent while the channel is deleted go with it, and the answer skips them.
		if !v.follows || m.Recovered || v.strict && m.Position != v.at && v.met.life == c.w.lives(int(v.number)) {
			c.problem("subscribed to %s again at %v: %+v", v.name, v.at, *m)
		}
		v.stand(c, m)
	default:
		v.answered(c, m, v.known)
		v.follows, v.asked = true, false
	}
}

func (c *client) changed(channel string, m *message) {
	v := c.view(channel)
	if v == nil || !c.sse && !v.follows {
		c.problem("change of %s, which it does not follow", channel)
		return
	}
	v.change(c, m)
}

func (c *client) view(channel string) *view {
	for _, v := range c.views {
		if v.name == channel {
			return v
		}
	}
	return nil
}

// event takes one event of a stream.
func (c *client) event(e codec.Event) error {
	if err := c.receive(e.Data); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(e.ID) > 0 {
		c.lastID = string(e.ID)
	}
	if string(e.Type) == "closed" {
		return errEnd
	}
	return nil
}

func (c *client) cursor() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}

func (c *client) streamPath() string {
	var names []string
	for _, v := range c.views {
		names = append(names, v.name)
	}
	return "/sse?channel=" + strings.Join(names, "&channel=") + c.features("&")
}

// features is what the address says of the client.
func (c *client) features(before string) string {
	if c.plain {
		return ""
	}
	return before + "features=append"
}
