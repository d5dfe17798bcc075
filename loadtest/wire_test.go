package loadtest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// wireServer is a broadcast server whose messages are those of some protocol. Its wire functions were written from the
// protocol's description of its messages, and are strict: what a real server would not take ends the connection.
type wireServer struct {
	wire wire
	http *httptest.Server

	mu      sync.Mutex
	clients map[*wireClient]bool // guarded by mu
	spoken  []string             // what clients said: guarded by mu
}

// wire is a protocol.
type wire struct {
	path     string // of the WebSocket, with what has to be in the query
	proto    string // subprotocol that has to be asked for
	welcome  string // the first message of the server
	ping     string // what the server says from time to time; the client has to say pong
	pong     string
	handle   func(s *wireServer, c *wireClient, msg string) error // takes a message of a client
	publish  func(s *wireServer, r *http.Request, body []byte) (status int, answer string)
	delivery func(topic string, payload json.RawMessage) string // a message that was published
}

// wireClient is a connection.
type wireClient struct {
	s    *wireServer
	conn *websocket.Conn
	send chan string

	// Guarded by s.mu.
	topics []string
	in     bool // has logged in
	ponged int
}

func startWire(t *testing.T, w wire) *wireServer {
	t.Helper()
	s := &wireServer{wire: w, clients: map[*wireClient]bool{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.mu.Lock()
		for c := range s.clients {
			_ = c.conn.CloseNow()
		}
		s.mu.Unlock()
		s.http.Close()
	})
	return s
}

func (s *wireServer) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		status, answer := http.StatusNotFound, ""
		if s.wire.publish != nil {
			status, answer = s.wire.publish(s, r, body)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
		return
	}
	path, query, _ := strings.Cut(s.wire.path, "?")
	if r.URL.Path != path || query != "" && !strings.Contains(r.URL.RawQuery, query) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{s.wire.proto}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	if conn.Subprotocol() != s.wire.proto {
		_ = conn.Close(websocket.StatusPolicyViolation, "subprotocol")
		return
	}
	c := &wireClient{s: s, conn: conn, send: make(chan string, 10_000)}
	s.mu.Lock()
	s.clients[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
		_ = conn.CloseNow()
	}()
	if s.wire.welcome != "" {
		c.say(s.wire.welcome)
	}
	gone := make(chan struct{})
	defer close(gone)
	go c.write(r, gone) // ends with gone
	for {
		_, msg, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		s.mu.Lock()
		s.spoken = append(s.spoken, string(msg))
		if s.wire.pong != "" && string(msg) == s.wire.pong {
			c.ponged++
			s.mu.Unlock()
			continue
		}
		err = s.wire.handle(s, c, string(msg))
		s.mu.Unlock()
		if err != nil {
			_ = conn.Close(websocket.StatusPolicyViolation, err.Error())
			return
		}
	}
}

// write sends what is queued, and pings.
func (c *wireClient) write(r *http.Request, gone chan struct{}) {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		msg := c.s.wire.ping
		select {
		case <-gone:
			return
		case msg = <-c.send:
		case <-ticks.C:
		}
		if msg != "" && c.conn.Write(r.Context(), websocket.MessageText, []byte(msg)) != nil {
			return
		}
	}
}

// say queues a message.
func (c *wireClient) say(msg string) { c.send <- msg }

// broadcast sends a payload to all that follow a topic. Under mu.
func (s *wireServer) broadcast(topic string, payload json.RawMessage) {
	for c := range s.clients {
		if slices.Contains(c.topics, topic) {
			c.say(s.wire.delivery(topic, payload))
		}
	}
}

// sorted is JSON with the members of objects in another order, as many servers write it.
func sorted(raw json.RawMessage) string {
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return string(raw)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func broken(format string, args ...any) error { return fmt.Errorf(format, args...) }

// socketIO is Engine.IO 4 and Socket.IO 5, the protocols of Socket.IO 4.
var socketIO = wire{
	path: "/socket.io/?EIO=4&transport=websocket", ping: "2", pong: "3",
	welcome: `0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`,
	handle: func(s *wireServer, c *wireClient, msg string) error {
		if rest, ok := strings.CutPrefix(msg, "40"); ok {
			if rest != "" && !json.Valid([]byte(rest)) {
				return broken("auth %q", rest)
			}
			c.in = true
			c.say(`40{"sid":"wZX3oN0bSVIhsaknAAAI"}`)
			return nil
		}
		rest, ok := strings.CutPrefix(msg, "42")
		if !ok || !c.in {
			return broken("packet %q", msg)
		}
		ack := rest[:strings.IndexByte(rest, '[')]
		var event []json.RawMessage
		if err := json.Unmarshal([]byte(rest[len(ack):]), &event); err != nil || len(event) < 2 {
			return broken("event %q", msg)
		}
		var name, channel string
		_ = json.Unmarshal(event[0], &name)
		_ = json.Unmarshal(event[1], &channel)
		switch name {
		case "subscribe":
			c.topics = append(c.topics, channel)
			c.say("43" + ack + "[]")
		case "publish":
			s.broadcast(channel, event[2])
		default:
			return broken("event %q", name)
		}
		return nil
	},
	delivery: func(topic string, payload json.RawMessage) string {
		return fmt.Sprintf(`42["message",%q,%s]`, topic, payload)
	},
}

// phoenix is a Phoenix socket with serializer 2.0.0.
var phoenix = wire{
	path: "/socket/websocket?vsn=2.0.0",
	handle: func(s *wireServer, c *wireClient, msg string) error {
		var m []json.RawMessage
		var join, ref, topic, event string
		if err := json.Unmarshal([]byte(msg), &m); err != nil || len(m) != 5 {
			return broken("message %q", msg)
		}
		for i, v := range []*string{&join, &ref, &topic, &event} {
			if json.Unmarshal(m[i], v) != nil {
				return broken("member %d of %q", i, msg)
			}
		}
		reply := func(status string) {
			c.say(fmt.Sprintf(`[%s,%q,%q,"phx_reply",{"status":%q,"response":{}}]`, m[0], ref, topic, status))
		}
		switch {
		case event == "heartbeat" && topic == "phoenix":
			reply("ok")
		case event == "phx_join" && strings.HasPrefix(topic, "room:"):
			c.topics = append(c.topics, topic)
			reply("ok")
		case !slices.Contains(c.topics, topic):
			reply("error")
		default:
			s.broadcast(topic, m[4])
		}
		return nil
	},
	delivery: func(topic string, payload json.RawMessage) string {
		return fmt.Sprintf(`[null,null,%q,"shout",%s]`, topic, sorted(payload))
	},
}
