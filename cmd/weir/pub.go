package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"time"

	"weir/internal/remote"
)

// pubCommand is weir pub.
type pubCommand struct {
	Channel string `arg:"" help:"Channel."`
	Data    string `arg:"" optional:"" help:"What to publish: JSON, or text. Without it each line of the standard input is published."`
	Group   string `help:"Group of the item."`
	Key     string `help:"Key of the item: the data is set, and stays."`
	Delete  bool   `help:"Delete the item."`
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
	Data    json.RawMessage `json:"data,omitempty"`
}

// Run publishes.
func (c *pubCommand) Run(p *program) error {
	r, err := c.relay()
	if err != nil {
		return err
	}
	x := publication{Channel: c.Channel, Group: c.Group, Key: c.Key}
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

// publish publishes one.
func (c *pubCommand) publish(p *program, r *remote.Relay, x *publication) error {
	body, err := json.Marshal(x)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
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
			return fmt.Errorf("pub: the answer is not a relay's: %w", err)
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
	b, _ := json.Marshal(text)
	return b
}
