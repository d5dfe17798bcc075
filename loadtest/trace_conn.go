package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"weir/loadtest/codec"
	"weir/loadtest/target"
)

// tracedConn is one connection of a check.
type tracedConn struct {
	k      *tracer
	name   string
	sub    target.Subscriber
	conn   net.Conn
	frames codec.Messages
	chunks *codec.Chunks
	events codec.Events
}

func (c *tracedConn) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

func (c *tracedConn) dial(at target.Endpoint) (err error) {
	c.k.title("connect the %s to %s", c.name, at.Addr)
	ctx, cancel := context.WithTimeout(c.k.ctx, c.k.cfg.Setup)
	defer cancel()
	d := &net.Dialer{}
	switch {
	case c.k.cfg.Dial != nil:
		c.conn, err = c.k.cfg.Dial(ctx)
	case at.TLS:
		c.conn, err = (&tls.Dialer{NetDialer: d, Config: c.k.cfg.TLS}).DialContext(ctx, "tcp", at.Addr)
	default:
		c.conn, err = d.DialContext(ctx, "tcp", at.Addr)
	}
	if err != nil {
		return setupError("connect the %s to %s: %w", c.name, at.Addr, err)
	}
	return nil
}

// subscribe opens the connection and goes on until the target has let it in.
func (c *tracedConn) subscribe(at target.Endpoint) error {
	if err := c.dial(at); err != nil {
		return err
	}
	r := c.k.cfg.Target.Head(c.k.t.Open(&c.sub))
	if c.k.traits.Stream == target.WebSocket || c.sub.Publisher {
		r = r.Upgrade()
	}
	out := r.Append(nil)
	c.k.say(">", "%s", out)
	if _, err := c.conn.Write(out); err != nil {
		return setupError("%s: %w", c.name, err)
	}
	var head []byte
	for {
		b, err := c.read("the target does not respond to the request")
		if err != nil {
			return err
		}
		head = append(head, b...)
		resp, n, err := codec.ParseResponse(head)
		if err != nil {
			return c.failed("%v: %.100q", err, head)
		}
		if n == 0 {
			continue
		}
		c.k.say("<", "%s", head[:n])
		if c.chunks, err = resp.Opens(c.k.traits.Stream == target.WebSocket || c.sub.Publisher); err != nil {
			c.k.say("<", "%.600s", head[n:])
			return c.failed("the target does not let the %s connect: %v", c.name, err)
		}
		head = head[n:]
		break
	}
	c.frames.Control = c.control
	reply, err := c.k.t.Greet(&c.sub, nil, c)
	if err != nil {
		return c.failed("%v", err)
	}
	if err := c.reply(reply); err != nil {
		return err
	}
	if err := c.feed(head); err != nil {
		return err
	}
	if err := c.until(func() bool { return c.sub.Subscribed }, "the target does not confirm: none of what it sent is what was expected"); err != nil {
		return err
	}
	c.k.say("", "the %s is ready", c.name)
	return nil
}

// until reads until done.
func (c *tracedConn) until(done func() bool, otherwise string) error {
	limit := time.Now().Add(c.k.cfg.Setup)
	for !done() {
		if time.Now().After(limit) {
			return c.failed("%s", otherwise)
		}
		b, err := c.read(otherwise)
		if err != nil {
			return err
		}
		if err := c.feed(b); err != nil {
			return err
		}
	}
	return nil
}

// failed is an error with what is known of its reason.
func (c *tracedConn) failed(format string, args ...any) error {
	err := fmt.Errorf("%w: %w", ErrCheck, fmt.Errorf(format, args...))
	if c.k.hint != "" {
		err = fmt.Errorf("%w: %s", err, c.k.hint)
	}
	return err
}

func (c *tracedConn) read(otherwise string) ([]byte, error) {
	b := make([]byte, 64<<10)
	if err := c.k.ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(c.k.cfg.Setup)); err != nil {
		return nil, setupError("%s: %w", c.name, err)
	}
	n, err := c.conn.Read(b)
	if n == 0 && err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, c.failed("%s within %v", otherwise, c.k.cfg.Setup)
		}
		return nil, c.failed("the target ended the %s's connection: %s", c.name, words(err))
	}
	return b[:n], nil
}

// feed takes what arrived after the response.
func (c *tracedConn) feed(b []byte) (err error) {
	switch {
	case c.k.traits.Stream == target.WebSocket || c.sub.Publisher:
		err = c.frames.Feed(b, c.message)
	case c.chunks != nil:
		err = c.chunks.Feed(b, c.plain)
	default:
		err = c.plain(b)
	}
	if err != nil && !errors.Is(err, ErrCheck) {
		err = c.failed("%v", err)
	}
	return err
}

func (c *tracedConn) plain(b []byte) error {
	return c.events.Feed(b, func(ev codec.Event) error { return c.message(ev.Data) })
}
