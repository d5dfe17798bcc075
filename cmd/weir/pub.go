package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"weir/internal/remote"
)

// pubCommand is weir pub.
type pubCommand struct {
	Channel string `arg:"" help:"Channel."`
	Data    string `arg:"" optional:"" help:"What to publish: JSON, or text. Without it each line of the standard input is published."`
	Group   string `help:"Group of the item."`
	Key     string `help:"Key of the item: the data is set, and stays."`
	Delete  bool   `help:"Delete the item."`
	Append  bool   `help:"Put the data behind the text of the item, as it is. The standard input is appended as it comes."`
	Offset  *int   `placeholder:"N" help:"With --append: how many code points the text must have so far."`
	TTL     string `name:"ttl" placeholder:"TIME" help:"How long the item stays, such as 30s."`
	JSON    bool   `name:"json" help:"Print the relay's answers as they are."`

	keyFlag     `embed:""`
	remoteFlags `embed:""`
}

// Help is the detailed help of the command.
func (*pubCommand) Help() string {
	return "Prints where each change stands in the channel's log, EPOCH:SEQ. The first that is refused ends it, with exit code 1."
}

// publication is the body of POST /v1/publish.
type publication struct {
	Channel string          `json:"channel"`
	Op      string          `json:"op,omitempty"`
	Group   string          `json:"group,omitempty"`
	Key     string          `json:"key,omitempty"`
	TTL     int64           `json:"ttl,omitempty"` // ms
	Offset  *int            `json:"offset,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Run publishes.
func (c *pubCommand) Run(p *program) error {
	r, err := c.relay()
	if err != nil {
		return err
	}
	x := publication{Channel: c.Channel, Group: c.Group, Key: c.Key}
	if c.Append && (c.Delete || c.Key == "") || c.Offset != nil && (!c.Append || *c.Offset < 0) {
		return wrongf("pub: --append needs --key, and is not with --delete; --offset is for --append, and 0 or more")
	}
	if c.Delete {
		if c.Data != "" || c.Key == "" {
			return wrongf("pub: --delete needs --key, and no data")
		}
		x.Op = "delete"
	}
	if c.TTL != "" {
		d, err := time.ParseDuration(c.TTL)
		if err != nil || d < time.Millisecond {
			return wrongf("pub: --ttl must be a time such as 30s")
		}
		x.TTL = d.Milliseconds()
	}
	if c.Append {
		x.Op, x.Offset = "append", c.Offset
		return c.appendText(p, r, &x)
	}
	if c.Data != "" || c.Delete {
		x.Data = jsonOf(c.Data)
		return c.publish(p, r, &x)
	}
	lines := bufio.NewScanner(p.stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if x.Data = jsonOf(lines.Text()); x.Data == nil {
			continue
		}
		if err := c.publish(p, r, &x); err != nil {
			return err
		}
	}
	return lines.Err()
}

// appendBytes is how much of the standard input is appended at once: with all of it escaped it is smaller than what a relay takes.
const appendBytes = 8 << 10

// appendText appends the data, or what comes on the standard input as it comes: whole characters of it.
func (c *pubCommand) appendText(p *program, r *remote.Relay, x *publication) error {
	from := p.stdin
	if c.Data != "" {
		from = strings.NewReader(c.Data)
	}
	buf, held := make([]byte, appendBytes), 0 // held: of a character that has not ended
	for {
		n, err := from.Read(buf[held:])
		text := buf[:held+n]
		switch {
		case err == nil:
			text = text[:len(text)-unended(text)]
		case !errors.Is(err, io.EOF):
			return err
		}
		if len(text) > 0 {
			x.Data, _ = encodeJSON(string(text)) // a string can be encoded
			if err := c.publish(p, r, x); err != nil {
				return err
			}
			if x.Offset != nil {
				*x.Offset += utf8.RuneCount(text)
			}
		}
		if err != nil {
			return nil
		}
		held = copy(buf, buf[len(text):held+n])
	}
}

// unended is how many bytes at the end of text are the beginning of a character.
func unended(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if utf8.FullRune(text[len(text)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

// encodeJSON encodes v and escapes no more than JSON asks for: what is appended is kept as it is written.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// publish publishes one.
func (c *pubCommand) publish(p *program, r *remote.Relay, x *publication) error {
	body, err := encodeJSON(x)
	if err != nil {
		return err
	}
	ctx := context.Background() // a signal ends the program, also while it waits for a line
	var answer json.RawMessage
	if err := r.Do(ctx, "POST", "/v1/publish", c.apiKey(p), body, &answer); err != nil {
		return fmt.Errorf("pub: %w", err)
	}
	if !c.JSON {
		var at struct {
			Position struct {
				Epoch string
				Seq   uint64
			}
		}
		if err := json.Unmarshal(answer, &at); err != nil {
			return fmt.Errorf("pub: the response is not from a relay: %w", err)
		}
		answer = fmt.Appendf(nil, "%s:%d", at.Position.Epoch, at.Position.Seq)
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", answer)
	return unlessLeft(ctx, err)
}

// jsonOf is text as JSON: as it is if it is JSON, a string otherwise; nil if it is empty.
func jsonOf(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	b, _ := encodeJSON(text)
	return b
}
