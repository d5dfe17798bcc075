package simulate

import (
	"fmt"
	"time"

	"weir/loadtest/codec"
)

// What the director has a client do. None of it waits.

// command sends a command. The caller holds mu.
func (c *client) command(format string, args ...any) {
	_, _ = c.link.Write(codec.AppendFrame(nil, codec.OpText, fmt.Appendf(nil, format, args...))) // if it fails the reader finds out
}

// subscribe asks for a channel, from where the client stands. The caller holds mu.
func (c *client) subscribe(v *view) {
	if v.asked {
		return
	}
	v.asked = true
	from := ""
	if v.known {
		from = fmt.Sprintf(`,"position":{"epoch":"%s","seq":%d}`, v.at.Epoch, v.at.Seq)
	}
	c.command(`{"type":"subscribe","id":"follow","channel":"%s"%s}`, v.name, from)
}

// swap gives a channel up, or follows it again.
func (c *client) swap(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view(channel)
	if v == nil || c.sse {
		return
	}
	v.wanted = !v.wanted
	switch {
	case !c.open || v.leaving:
	case !v.wanted && v.follows:
		v.leaving = true
		c.command(`{"type":"unsubscribe","id":"leave-%s","channel":"%s"}`, v.name, v.name)
	case v.wanted && !v.follows:
		c.subscribe(v)
	}
}

// repeat subscribes to a channel that the client follows.
func (c *client) repeat(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.view(channel); v != nil && c.open && v.follows && !v.leaving && v.wanted && !c.sse {
		c.command(`{"type":"subscribe","id":"again","channel":"%s"}`, v.name)
	}
}

// cut breaks the connection; of what is under way keep bytes arrive.
func (c *client) cut(keep int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		c.link.Cut(keep)
	}
}

// leave closes, and stays away for a while.
func (c *client) leave(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Now().Add(d)
	switch {
	case c.link == nil:
	case c.sse || !c.open:
		c.link.Cut(0)
	default:
		_, _ = c.link.Write(codec.AppendFrame(nil, codec.OpClose, []byte{0x03, 0xe8}))
	}
}

// stall makes the client read nothing for a while.
func (c *client) stall(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if link := c.link; link != nil {
		link.BlockReads(true)
		time.AfterFunc(d, func() { link.BlockReads(false) })
	}
}

// settle makes the client want everything, from now on.
func (c *client) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
	select {
	case c.back <- struct{}{}:
	default:
	}
	for _, v := range c.views {
		if !v.wanted {
			v.wanted = true
			if c.open && !v.follows {
				c.subscribe(v)
			}
		}
	}
}

// missing names a channel that the client does not follow though it wants to; "" if there is none.
func (c *client) missing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.views {
		if !c.open || !c.sse && !v.follows || c.sse && !v.known {
			return v.name
		}
	}
	return ""
}
