package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"
)

// Conn is a WebSocket of a relay's client.
type Conn struct {
	ws       *gws.Conn
	messages chan []byte
	done     chan struct{} // closed when the reading goroutine has ended; err is set then
	stop     chan struct{} // closed by Close
	err      error
	pings    atomic.Int64 // of the server
}

// queued is how many messages may wait for Next.
const queued = 64

// Dial opens a WebSocket with the relay's token. Errors: [Refusal], and that there is no answer.
func (r *Relay) Dial(ctx context.Context, query url.Values) (*Conn, error) {
	u := *r.URL
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	u.Path = strings.TrimSuffix(u.Path, "/") + "/ws"
	u.RawQuery = query.Encode()
	header := http.Header{}
	if r.Token != "" {
		header.Set("Authorization", "Bearer "+r.Token)
	}
	if r.Origin != "" {
		header.Set("Origin", r.Origin)
	}
	patience := timeout
	if at, ok := ctx.Deadline(); ok {
		patience = time.Until(at)
	}
	c := &Conn{messages: make(chan []byte, queued), done: make(chan struct{}), stop: make(chan struct{})}
	ws, resp, err := gws.NewClient(events{c}, &gws.ClientOption{
		Addr: u.String(), RequestHeader: header, HandshakeTimeout: patience, TlsConfig: r.tls(), ReadMaxPayloadSize: maxBody,
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what came with the head
			return nil, RefusalOf(resp.StatusCode, body)
		}
		return nil, err
	}
	c.ws = ws
	go func() {
		defer close(c.done)
		ws.ReadLoop()
	}()
	return c, nil
}

// Next returns the next message. Errors: ctx, and what has ended the connection.
func (c *Conn) Next(ctx context.Context) ([]byte, error) {
	select {
	case m := <-c.messages:
		return m, nil
	default:
	}
	select {
	case m := <-c.messages:
		return m, nil
	case <-c.done:
		select {
		case m := <-c.messages: // what came before the end
			return m, nil
		default:
			return nil, c.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Await returns the next message of a type, decoded into v, and passes over those before it. An error of the relay's is an error.
func (c *Conn) Await(ctx context.Context, kind string, v any) error {
	for {
		m, err := c.Next(ctx)
		if err != nil {
			return err
		}
		var head struct{ Type, Code, Message string }
		if err := json.Unmarshal(m, &head); err != nil {
			return fmt.Errorf("a message is not JSON: %w", err)
		}
		switch head.Type {
		case kind:
			return json.Unmarshal(m, v)
		case "error":
			return &Refusal{Code: head.Code, Reason: head.Message}
		}
	}
}

// Send sends a message of JSON.
func (c *Conn) Send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.ws.WriteMessage(gws.OpcodeText, b)
}

// Pings is how many pings of the server have been answered.
func (c *Conn) Pings() int64 { return c.pings.Load() }

// Close closes the connection and waits for its goroutine.
func (c *Conn) Close() {
	close(c.stop)
	_ = c.ws.WriteClose(1000, nil)
	_ = c.ws.NetConn().Close()
	<-c.done
}

// events is what the library tells of a connection.
type events struct{ *Conn }

// OnOpen implements gws.Event.
func (events) OnOpen(*gws.Conn) {}

// OnClose implements gws.Event.
func (c events) OnClose(_ *gws.Conn, err error) {
	c.err = err // before done is closed
	if closed, ok := errors.AsType[*gws.CloseError](err); ok {
		c.err = fmt.Errorf("the relay has closed the connection: %d %s", closed.Code, closed.Reason)
	}
}

// OnPing implements gws.Event.
func (c events) OnPing(ws *gws.Conn, payload []byte) {
	c.pings.Add(1)
	_ = ws.WritePong(payload)
}

// OnPong implements gws.Event.
func (events) OnPong(*gws.Conn, []byte) {}

// OnMessage implements gws.Event.
func (c events) OnMessage(_ *gws.Conn, m *gws.Message) {
	b := append([]byte(nil), m.Bytes()...) // the parser's, once it is closed
	_ = m.Close()
	select {
	case c.messages <- b:
	case <-c.stop:
	}
}
