package codec

import (
	"bytes"
	"fmt"
	"strconv"
)

// Chunks decodes a chunked body. The zero value is ready.
type Chunks struct {
	left  int    // bytes of the present chunk still to come
	line  []byte // a size line or the line after a chunk, as far as it came
	ended bool   // the last chunk was seen
	after bool   // the line end that follows a chunk is due
}

// Feed calls part for the content in b.
func (c *Chunks) Feed(b []byte, part func([]byte) error) error {
	_, _, err := c.feed(b, part)
	return err
}

// feed also says how many bytes were used and whether the body is whole.
func (c *Chunks) feed(b []byte, part func([]byte) error) (n int, done bool, err error) {
	for n < len(b) {
		if c.left > 0 {
			size := min(c.left, len(b)-n)
			if err := part(b[n : n+size]); err != nil {
				return n, false, err
			}
			c.left -= size
			n += size
			c.after = c.left == 0
			continue
		}
		end := bytes.IndexByte(b[n:], '\n')
		if end < 0 {
			c.line = append(c.line, b[n:]...)
			if len(c.line) > maxHeader {
				return n, false, fmt.Errorf("chunk head over %d bytes: %w", maxHeader, ErrProtocol)
			}
			return len(b), false, nil
		}
		c.line = append(c.line, b[n:n+end]...)
		n += end + 1
		line := bytes.TrimRight(c.line, "\r")
		c.line = c.line[:0]
		switch {
		case c.after:
			c.after = false
		case c.ended:
			if len(line) == 0 {
				return n, true, nil
			}
		default:
			digits, _, _ := bytes.Cut(line, []byte(";"))
			size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
			if err != nil || size > maxMessage {
				return n, false, fmt.Errorf("chunk size %q: %w", line, ErrProtocol)
			}
			c.left, c.ended = int(size), size == 0
		}
	}
	return n, false, nil
}

// Event is one Server-Sent Event. Its slices are valid during the call they are handed to only.
type Event struct {
	Type []byte // empty for "message"
	ID   []byte // the last id seen on the stream
	Data []byte
}

// Events turns the content of a text/event-stream into events. The zero value is ready.
type Events struct {
	Received uint64 // events with data

	line  []byte // an unfinished line
	ev    Event
	lines int // data lines of the present event
}

// Feed takes content that arrived and calls each for every event that is now whole. Lines end in LF or
// CRLF; a bare CR is not understood, no server writes it.
func (p *Events) Feed(b []byte, each func(Event) error) error {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			p.line = append(p.line, b...)
			break
		}
		line := b[:end]
		if len(p.line) > 0 {
			p.line = append(p.line, line...)
			line = p.line
		}
		b = b[end+1:]
		err := p.take(bytes.TrimSuffix(line, []byte("\r")), each)
		p.line = p.line[:0]
		if err != nil {
			return err
		}
	}
	if len(p.line) > maxMessage {
		return fmt.Errorf("event line over %d bytes: %w", maxMessage, ErrProtocol)
	}
	return nil
}

// take handles one line.
func (p *Events) take(line []byte, each func(Event) error) error {
	if len(line) == 0 {
		if p.lines == 0 {
			p.ev.Type = p.ev.Type[:0]
			return nil
		}
		p.Received++
		err := each(p.ev)
		p.ev.Data, p.ev.Type, p.lines = p.ev.Data[:0], p.ev.Type[:0], 0
		return err
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if p.lines > 0 {
			p.ev.Data = append(p.ev.Data, '\n')
		}
		if len(p.ev.Data)+len(value) > maxMessage {
			return fmt.Errorf("event over %d bytes: %w", maxMessage, ErrProtocol)
		}
		p.ev.Data = append(p.ev.Data, value...)
		p.lines++
	case "event":
		p.ev.Type = append(p.ev.Type[:0], value...)
	case "id":
		p.ev.ID = append(p.ev.ID[:0], value...)
	}
	return nil
}
