package script

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"weir/loadtest/codec"
	"weir/loadtest/target"
)

// client is a connection of a user. The user's goroutine owns it; release ends what closes it when the test ends.
type client struct {
	nc      net.Conn
	release func() bool
	sub     target.Subscriber
	head    []byte // of a response that is not whole
	up      bool
	frames  codec.Messages
	chunks  *codec.Chunks // nil: the body is not chunked
	events  codec.Events
	replies codec.Replies
	buf     [16 << 10]byte
}

func (k *client) close() {
	k.release()
	_ = k.nc.Close() // nothing is left to be said
}

func (k *client) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := k.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := k.nc.Write(b)
	return err
}

// take reads once.
func (k *client) take(limit time.Duration) ([]byte, error) {
	if err := k.nc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	n, err := k.nc.Read(k.buf[:])
	switch {
	case n > 0:
		return k.buf[:n], nil
	case errors.Is(err, io.EOF):
		return nil, errors.New("the target ended the connection")
	}
	return nil, err
}

// open sends the request that opens the user's connection, and greets until it is subscribed to what it says.
func (u *user) open() error {
	c, k := &u.crew.cfg, u.client
	r := c.Options.Head(c.Target.Open(&k.sub))
	socket := c.Target.Traits().Stream == target.WebSocket
	if socket {
		r = r.Upgrade()
	}
	if err := k.write(r.Append(nil)); err != nil {
		return err
	}
	k.frames.Control = u.control
	return u.until(patience, "the target did not accept the connection", func() bool { return k.sub.Subscribed })
}

// read reads once, and takes what came. os.ErrDeadlineExceeded: nothing came in time.
func (u *user) read(limit time.Duration) error {
	k := u.client
	if k == nil {
		return errors.New("expected connect before this step")
	}
	b, err := k.take(limit)
	if err != nil {
		return err
	}
	if k.up {
		return u.content(b)
	}
	k.head = append(k.head, b...)
	r, n, err := codec.ParseResponse(k.head)
	if err != nil || n == 0 {
		return err
	}
	if k.chunks, err = r.Opens(u.crew.cfg.Target.Traits().Stream == target.WebSocket); err != nil {
		return err
	}
	k.up = true
	reply, err := u.crew.cfg.Target.Greet(&k.sub, nil, u)
	if err == nil {
		err = u.reply(reply)
	}
	if err != nil || n == len(k.head) {
		return err
	}
	return u.content(k.head[n:])
}

// content takes what comes after the response's head.
func (u *user) content(b []byte) error {
	k := u.client
	u.crew.cfg.Watch.Read(len(b))
	if u.crew.cfg.Target.Traits().Stream == target.WebSocket {
		return k.frames.Feed(b, u.message)
	}
	plain := func(b []byte) error {
		return k.events.Feed(b, func(ev codec.Event) error { return u.message(ev.Data) })
	}
	if k.chunks != nil {
		return k.chunks.Feed(b, plain)
	}
	return plain(b)
}

// message takes a whole message.
func (u *user) message(msg []byte) (err error) {
	t, s := u.crew.cfg.Target, &u.client.sub
	if len(u.recent) < keptMessages {
		u.recent = append(u.recent, append([]byte(nil), msg...))
	}
	var reply []byte
	if s.Subscribed {
		reply, err = t.Read(s, msg, u)
	} else {
		reply, err = t.Greet(s, msg, u)
	}
	if err != nil {
		return err
	}
	return u.reply(reply)
}

func (u *user) reply(msg []byte) error {
	traits := u.crew.cfg.Target.Traits()
	if len(msg) == 0 || traits.Stream != target.WebSocket {
		return nil
	}
	if !traits.Framed {
		msg = codec.AppendFrame(nil, codec.OpText, msg)
	}
	return u.client.write(msg)
}

func (u *user) control(op byte, payload []byte) error {
	switch op {
	case codec.OpPing:
		return u.client.write(codec.AppendFrame(nil, codec.OpPong, payload))
	case codec.OpClose:
		if len(payload) >= 2 {
			return fmt.Errorf("closed by the target: %d %s", binary.BigEndian.Uint16(payload), payload[2:])
		}
		return errors.New("closed by the target")
	}
	return nil
}

// errClosing is an answer after which the target closes the connection.
var errClosing = errors.New("the target does not keep the connection open")

// request sends a request over the user's own connection for publishing, and waits for the response. A connection that
// was kept open, and has ended meanwhile, is opened again.
func (u *user) request(out []byte) (status int, body []byte, err error) {
	for kept := u.http != nil; ; kept = false {
		if u.http == nil {
			if u.http, err = u.dial(true); err != nil {
				return 0, nil, err
			}
		}
		status, body, err = u.http.ask(out)
		if err != nil {
			u.http.close()
			u.http = nil
			if errors.Is(err, errClosing) {
				return status, body, nil
			}
		}
		if err == nil || !kept || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) {
			return status, body, err
		}
	}
}

// ask sends a request and waits for its response.
func (k *client) ask(out []byte) (status int, body []byte, err error) {
	if err := k.write(out); err != nil {
		return 0, nil, err
	}
	for end := time.Now().Add(patience); status == 0; {
		b, err := k.take(time.Until(end))
		if err != nil {
			return 0, nil, err
		}
		err = k.replies.Feed(b, func(r codec.Response, text []byte) error {
			status, body = r.Status, append([]byte(nil), text...)
			if r.Close {
				return errClosing
			}
			return nil
		})
		if err != nil {
			return status, body, err
		}
	}
	return status, body, nil
}
