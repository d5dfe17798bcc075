package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"

	"weir/internal/remote"
)

// subCommand is weir sub, and weir tail.
type subCommand struct {
	Channels []string `arg:"" help:"Channels."`
	Token    string   `placeholder:"TOKEN" help:"Token of a client; - reads it from the standard input. Without it the API key lets it in."`
	User     string   `default:"weir-sub" placeholder:"USER" help:"Who to be with the API key (default ${default})."`
	JSON     bool     `name:"json" help:"Print the relay's messages as they are, one a line."`
	Whole    bool     `help:"Print the whole text of an item that is appended to, and not only what is new of it."`
	Count    int      `short:"n" placeholder:"N" help:"End after so many changes."`

	keyFlag     `embed:""`
	remoteFlags `embed:""`
}

// Help is the detailed help of the command.
func (*subCommand) Help() string {
	return "Prints the items that a channel has, and then each change as it comes: CHANNEL SEQ OP GROUP/KEY DATA. Of an append the data is what is new of the text, unless --whole is given. It ends with Ctrl-C, or when the relay closes the connection, with exit code 1 then."
}

// change is what changes of a channel are told as, in whichever message.
type change struct {
	Type     string                                `json:"type"`
	Channel  string                                `json:"channel"`
	Seq      uint64                                `json:"seq"`
	Op       string                                `json:"op"`
	Group    string                                `json:"group"`
	Key      string                                `json:"key"`
	Data     json.RawMessage                       `json:"data"`
	Code     string                                `json:"code"`
	Message  string                                `json:"message"`
	Detail   string                                `json:"detail"`
	Reason   string                                `json:"reason"`
	Position struct{ Seq uint64 }                  `json:"position"`
	State    map[string]map[string]json.RawMessage `json:"state"`
	Messages []json.RawMessage                     `json:"messages"`
}

// Run subscribes and prints.
func (c *subCommand) Run(p *program) error {
	if c.Count < 0 {
		return wrongf("sub: --count: expected 0, for no end, or more")
	}
	r, err := c.relay()
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	query := url.Values{}
	if !c.Whole {
		query.Set("features", "append")
	}
	switch {
	case c.Token == "-":
		if r.Token, err = readLine(p.stdin, 64<<10); err != nil {
			return err
		}
	case c.Token != "":
		r.Token = c.Token
	default:
		if err := c.ticket(ctx, p, r, query); err != nil {
			return unlessLeft(ctx, fmt.Errorf("sub: %w", err))
		}
	}
	conn, err := r.Dial(ctx, query)
	if err != nil {
		return unlessLeft(ctx, fmt.Errorf("sub: %w", err))
	}
	defer conn.Close()
	for _, channel := range c.Channels {
		if err := conn.Send(map[string]string{"type": "subscribe", "id": channel, "channel": channel}); err != nil {
			return fmt.Errorf("sub: %w", err)
		}
	}
	left := cmp.Or(c.Count, -1)
	for left != 0 {
		m, err := conn.Next(ctx)
		if err == nil {
			left, err = c.print(p.stdout, m, "", left)
		}
		if err != nil {
			return unlessLeft(ctx, fmt.Errorf("sub: %w", err))
		}
	}
	return nil
}

// ticket lets the connection in as a user who may read the channels.
func (c *subCommand) ticket(ctx context.Context, p *program, r *remote.Relay, query url.Values) error {
	may := make(map[string][]string)
	for _, channel := range c.Channels {
		may[channel] = []string{"subscribe", "history"}
	}
	body, err := json.Marshal(map[string]any{"userId": c.User, "channels": may})
	if err != nil {
		return err
	}
	var answer struct{ Ticket string }
	if err := r.Do(ctx, "POST", "/v1/tickets", c.apiKey(p), body, &answer); err != nil {
		return err
	}
	query.Set("ticket", answer.Ticket)
	return nil
}

// print prints a message, and returns how many changes are still to come. channel is that of the batch around it.
func (c *subCommand) print(w io.Writer, m []byte, channel string, left int) (int, error) {
	var x change
	if err := json.Unmarshal(m, &x); err != nil {
		return left, fmt.Errorf("a message is not JSON: %w", err)
	}
	x.Channel = cmp.Or(x.Channel, channel)
	isChange := x.Type == "channel_update" || x.Type == "update" || channel != "" && x.Type == ""
	if c.JSON && x.Type != "batch" {
		if _, err := fmt.Fprintf(w, "%s\n", m); err != nil {
			return left, err
		}
	}
	switch {
	case x.Type == "batch":
		for _, inner := range x.Messages {
			if left == 0 {
				break
			}
			var err error
			if left, err = c.print(w, inner, x.Channel, left); err != nil {
				return left, err
			}
		}
		return left, nil
	case x.Type == "error" || x.Type == "unsubscribed":
		return left, &remote.Refusal{Code: x.Code, Reason: cmp.Or(x.Detail, x.Message, x.Reason)}
	case c.JSON:
	case x.Type == "subscribed" || x.Type == "resync":
		return left, printState(w, &x)
	case isChange:
		if err := printChange(w, x.Channel, x.Seq, x.Op, x.Group, x.Key, x.Data); err != nil {
			return left, err
		}
	}
	if isChange && left > 0 {
		left--
	}
	return left, nil
}

// printState prints the items of a snapshot.
func printState(w io.Writer, x *change) error {
	for _, group := range slices.Sorted(maps.Keys(x.State)) {
		for _, key := range slices.Sorted(maps.Keys(x.State[group])) {
			if err := printChange(w, x.Channel, x.Position.Seq, "item", group, key, x.State[group][key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// printChange prints a line.
func printChange(w io.Writer, channel string, seq uint64, op, group, key string, data []byte) error {
	item := "-"
	if key != "" {
		item = cmp.Or(group, "items") + "/" + key
	} else if group != "" {
		item = group
	}
	_, err := fmt.Fprintf(w, "%s %d %s %s %s\n", cmp.Or(channel, "user"), seq, op, item, cmp.Or(string(data), "-"))
	return err
}
