package relaytest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Message is a JSON message.
type Message = map[string]any

// Peer is a WebSocket client. It belongs to one goroutine.
type Peer struct {
	testing.TB
	conn    *websocket.Conn
	waiting []Message
}

// WS connects a user to a route and returns the peer. What the relay sends first is still to be read.
func (g *Rig) WS(user, path string) *Peer {
	g.Helper()
	p, status := g.Dial(g.Token(user), path)
	if p == nil {
		g.Fatalf("the upgrade of %s returned %d", path, status)
	}
	return p
}

// Dial connects with a token ("": none). Without success the peer is nil, and the status says why.
func (g *Rig) Dial(token, path string) (*Peer, int) {
	g.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(g.URL, "http")+path, &websocket.DialOptions{HTTPHeader: h})
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil {
		if resp == nil {
			g.Fatal(err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable {
			b, _ := io.ReadAll(resp.Body)
			g.Logf("%s returned %d %s", path, resp.StatusCode, b)
		}
		return nil, resp.StatusCode
	}
	return g.Peer(conn), resp.StatusCode
}

// Send sends a message: a string as it is, anything else as JSON.
func (p *Peer) Send(m any) {
	p.Helper()
	raw, ok := m.(string)
	if !ok {
		b, err := json.Marshal(m)
		if err != nil {
			p.Fatal(err)
		}
		raw = string(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, []byte(raw)); err != nil {
		p.Fatal(err)
	}
}

// Next is the next message; those of a batch come one by one.
func (p *Peer) Next() Message {
	p.Helper()
	for len(p.waiting) == 0 {
		_, raw := p.Read()
		var m Message
		if err := json.Unmarshal(raw, &m); err != nil {
			p.Fatalf("%v: %s", err, raw)
		}
		list, ok := m["messages"].([]any)
		if m["type"] != "batch" || !ok {
			return m
		}
		for _, x := range list {
			p.waiting = append(p.waiting, x.(map[string]any))
		}
	}
	m := p.waiting[0]
	p.waiting = p.waiting[1:]
	return m
}

// Until reads messages up to the first that f accepts, and returns that.
func (p *Peer) Until(f func(Message) bool) Message {
	p.Helper()
	for {
		if m := p.Next(); f(m) {
			return m
		}
	}
}

// Ends reads messages up to the first that f accepts. It returns false if the connection ended before.
func (p *Peer) Ends(f func(Message) bool) bool {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		_, raw, err := p.conn.Read(ctx)
		cancel()
		if err != nil {
			return false
		}
		var m Message
		if json.Unmarshal(raw, &m) == nil && f(m) {
			return true
		}
	}
}

// Try is Send that answers false if the connection has ended.
func (p *Peer) Try(m any) bool {
	p.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return p.conn.Write(ctx, websocket.MessageText, raw) == nil
}

// Type reads messages up to the first of a type.
func (p *Peer) Type(kind string) Message {
	p.Helper()
	return p.Until(func(m Message) bool { return m["type"] == kind })
}

// Read is the next frame as it comes.
func (p *Peer) Read() (binary bool, data []byte) {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	kind, data, err := p.conn.Read(ctx)
	if err != nil {
		p.Fatalf("read: %v", err)
	}
	return kind == websocket.MessageBinary, data
}

// Write sends a binary message.
func (p *Peer) Write(data []byte) {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageBinary, data); err != nil {
		p.Fatal(err)
	}
}

// Closed reads until the relay closes, and returns the code.
func (p *Peer) Closed() int {
	p.Helper()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		_, _, err := p.conn.Read(ctx)
		cancel()
		if err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

// Drop breaks the connection off without a word.
func (p *Peer) Drop() { _ = p.conn.CloseNow() }

// Close closes the connection as a client should.
func (p *Peer) Close() { _ = p.conn.Close(websocket.StatusNormalClosure, "") }

// Peer is the peer of a connection that a test has made itself.
func (g *Rig) Peer(conn *websocket.Conn) *Peer {
	conn.SetReadLimit(1 << 24)
	p := &Peer{TB: g.TB, conn: conn}
	g.Cleanup(func() { _ = conn.CloseNow() })
	return p
}
