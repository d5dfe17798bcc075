package loadtest_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// frames reads a client's frames until the connection ends.
func (c *conn) frames(r *bufio.Reader) {
	for {
		var h [2]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return
		}
		n := uint64(h[1] & 127)
		var long [8]byte
		switch n {
		case 126:
			if _, err := io.ReadFull(r, long[6:]); err != nil {
				return
			}
			n = binary.BigEndian.Uint64(long[:])
		case 127:
			if _, err := io.ReadFull(r, long[:]); err != nil {
				return
			}
			n = binary.BigEndian.Uint64(long[:])
		}
		if h[1]&0x80 == 0 || n > 1<<20 {
			return
		}
		b := make([]byte, n+4)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		for i := range b[4:] {
			b[4+i] ^= b[i%4]
		}
		c.s.lock()
		gone := c.gone
		switch {
		case gone || h[0]&15 == 8:
			gone = true
		case h[0]&15 == 10 && string(b[4:]) == "beat":
			c.pinged = false
		case h[0]&15 != 1:
		case c.plain:
			c.s.Accepted++
			c.s.change(c.follows[0], "", "", string(b[4:]), false)
		default:
			c.command(b[4:])
		}
		c.s.mu.Unlock()
		if gone {
			return
		}
	}
}

// command is what a client says.
type command struct {
	Type, Channel string
	Position      *struct {
		Epoch string
		Seq   int
	}
}

// address subscribes to the channels of an address, as a relay does.
func (c *conn) address(channels, positions []string) {
	for i, name := range channels {
		cmd := command{Channel: name}
		if i < len(positions) && positions[i] != "" {
			p := "\"" + strings.Replace(positions[i], ":", "\",\"seq\":", 1)
			if err := json.Unmarshal([]byte(`{"epoch":`+p+`}`), &cmd.Position); err != nil {
				panic(err)
			}
		}
		c.subscribe(cmd)
	}
}

func (c *conn) command(text []byte) {
	var list []command
	var one command
	if json.Unmarshal(text, &list) != nil {
		if json.Unmarshal(text, &one) != nil {
			c.send(`{"type":"error","code":"invalid","message":"Invalid message format"}`)
			return
		}
		list = []command{one}
	}
	for _, cmd := range list {
		if cmd.Type == "subscribe" {
			c.subscribe(cmd)
		}
	}
}

func (c *conn) subscribe(cmd command) {
	ch := c.s.channel(cmd.Channel)
	rest := `"recovered":false,"state":{}`
	if p := cmd.Position; p != nil && p.Epoch == "e" && p.Seq <= len(ch.changes) {
		var texts []string
		for _, one := range ch.changes[p.Seq:] {
			if !slices.ContainsFunc(ch.waiting, func(w change) bool { return w.seq == one.seq }) {
				texts = append(texts, "{"+one.text+"}")
			}
		}
		rest = `"recovered":true,"changes":[` + strings.Join(texts, ",") + "]"
	}
	seq := len(ch.changes) - len(ch.waiting)
	c.send(fmt.Sprintf(`{"type":"subscribed","channel":%q,"position":{"epoch":"e","seq":%d},%s}`, ch.name, seq, rest))
	c.follow(ch)
	if !strings.HasPrefix(ch.name, "presence:") {
		c.s.change(c.s.channel("presence:"+ch.name), "users", c.user, `{"id":"`+c.user+`"}`, false)
	}
}
