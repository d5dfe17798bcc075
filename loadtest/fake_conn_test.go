package loadtest_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// conn is one connection of a fakeRelay.
type conn struct {
	s  *fakeRelay
	nc net.Conn

	// Guarded by s.mu.
	number  int // among the subscribers; -1 before
	user    string
	place   int // among all connections, in the order in which they came
	seen    int
	held    string // a change that comes after the next one
	plain   bool   // gets payloads and nothing else
	events  bool   // an event stream
	follows []*channel
	out     []byte
	more    sync.Cond
	pinged  bool // no answer to the last ping yet
	gone    bool
}

// read serves requests until the connection ends or becomes a stream. It ends when the connection
// does.
func (c *conn) read() {
	defer func() {
		c.s.mu.Lock()
		c.end()
		c.s.mu.Unlock()
	}()
	r := bufio.NewReader(c.nc)
	for since := time.Now(); ; since = time.Now() {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		if c.s.cfg.Idle > 0 && time.Since(since) >= c.s.cfg.Idle {
			return
		}
		c.s.lock()
		upgraded := c.request(req, string(body))
		c.s.mu.Unlock()
		if upgraded {
			c.frames(r)
			return
		}
	}
}

// write sends what is queued. It ends when the connection does.
func (c *conn) write() {
	for {
		c.s.lock()
		for (len(c.out) == 0 || c.s.frozen) && !c.gone {
			c.more.Wait()
		}
		out, gone := c.out, c.gone
		c.out = nil
		c.s.mu.Unlock()
		if gone {
			return
		}
		if _, err := c.nc.Write(out); err != nil {
			return
		}
	}
}

// end closes the connection and forgets it.
func (c *conn) end() {
	if c.gone {
		return
	}
	c.gone = true
	delete(c.s.conns, c)
	c.more.Broadcast()
	_ = c.nc.Close() // a connection in memory or a test's
	for _, ch := range c.follows {
		ch.subs = slices.DeleteFunc(ch.subs, func(o *conn) bool { return o == c })
		if !c.plain && !c.s.closed && !strings.HasPrefix(ch.name, "presence:") {
			c.s.change(c.s.channel("presence:"+ch.name), "users", c.user, "", true)
		}
	}
}

func (c *conn) raw(text string) {
	c.out = append(c.out, text...)
	c.more.Broadcast()
}

// send sends one message as the connection's kind of stream has it.
func (c *conn) send(text string) {
	if c.events {
		c.raw("data: " + text + "\n\n")
		return
	}
	c.out = append(c.out, 0x81)
	switch n := len(text); {
	case n < 126:
		c.out = append(c.out, byte(n))
	case n < 1<<16:
		c.out = binary.BigEndian.AppendUint16(append(c.out, 126), uint16(n))
	default:
		c.out = binary.BigEndian.AppendUint64(append(c.out, 127), uint64(n))
	}
	c.raw(text)
}

func (c *conn) answer(status int, body string) {
	c.raw(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), len(body), body))
}

// request handles one request and says whether frames follow.
func (c *conn) request(req *http.Request, body string) (upgraded bool) {
	s := c.s
	bearer := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	switch {
	case req.Method == "POST":
		c.posted(req, bearer, body)
		return false
	case !strings.HasPrefix(bearer, s.cfg.Token):
		c.answer(401, "")
		return false
	case s.cfg.Most > 0 && len(s.conns) > s.cfg.Most:
		c.answer(503, "")
		return false
	}
	c.user = strings.TrimPrefix(bearer, s.cfg.Token)
	s.Places[c.user] = c.place
	if name, ok := strings.CutPrefix(req.URL.Path, "/events/"); ok {
		c.events, c.plain = true, true
		c.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:welcome\n\n")
		c.follow(s.channel(name))
		return false
	}
	if req.Header.Get("Upgrade") != "websocket" {
		c.answer(404, "")
		return false
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c.raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	if name, ok := strings.CutPrefix(req.URL.Path, "/plain/"); ok {
		c.plain = true
		c.follow(s.channel(name))
		return true
	}
	if channels := req.URL.Query()["channel"]; len(channels) > 0 {
		c.send(fmt.Sprintf(`{"type":"connected","connectionId":"c","userId":"u","channels":%d}`, len(channels)))
		c.address(channels, req.URL.Query()["position"])
	} else {
		c.send(`{"type":"connected","connectionId":"c","userId":"u"}`)
	}
	if s.cfg.Ping > 0 {
		c.ping()
	}
	return true
}

// ping sends a ping, and looks for its answer when the next is due.
func (c *conn) ping() {
	c.pinged = true
	c.raw("\x89\x04beat")
	time.AfterFunc(c.s.cfg.Ping, func() {
		c.s.lock()
		defer c.s.mu.Unlock()
		switch {
		case c.gone:
		case c.pinged:
			c.end()
		default:
			c.ping()
		}
	})
}

func (c *conn) follow(ch *channel) {
	if slices.Contains(c.follows, ch) {
		return
	}
	if c.number < 0 {
		c.number = c.s.numbered
		c.s.numbered++
	}
	c.follows = append(c.follows, ch)
	ch.subs = append(ch.subs, c)
}

// publication is what is published.
type publication struct {
	Channel, Group, Key string
	TTL                 int
	Data                json.RawMessage
}

func (c *conn) posted(req *http.Request, key, body string) {
	s := c.s
	if s.cfg.Key != "" && key != s.cfg.Key {
		c.answer(401, `{"code":"unauthorized"}`)
		return
	}
	if name, ok := strings.CutPrefix(req.URL.Path, "/events/"); ok {
		s.change(s.channel(name), "", "", body, false)
		s.Accepted++
		c.answer(204, "")
		return
	}
	var answers strings.Builder
	status, number := 200, 0
	for line := range strings.Lines(body) {
		number++
		var p publication
		s.publish++
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.Channel == "" || s.cfg.Refuse != nil && s.cfg.Refuse(s.publish) {
			fmt.Fprintf(&answers, `{"code":"refused","line":%d}`+"\n", number)
			if !strings.Contains(req.Header.Get("Content-Type"), "ndjson") {
				status = 429
			}
			continue
		}
		s.Accepted++
		ch := s.channel(p.Channel)
		seq := s.change(ch, p.Group, p.Key, string(p.Data), false)
		fmt.Fprintf(&answers, `{"position":{"epoch":"e","seq":%d}}`+"\n", seq)
		if p.TTL > 0 {
			time.AfterFunc(time.Duration(p.TTL)*time.Millisecond, func() {
				s.lock()
				defer s.mu.Unlock()
				if !s.closed {
					s.change(ch, p.Group, p.Key, "", true)
				}
			})
		}
	}
	c.answer(status, answers.String())
}
