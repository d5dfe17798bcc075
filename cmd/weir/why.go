package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// whyCommand is weir why.
type whyCommand struct {
	Channel string `arg:"" help:"Channel."`
	Op      string `default:"subscribe" enum:"subscribe,publish,history,presence" placeholder:"OP" help:"What the client wants to do: subscribe (the default), publish, history or presence."`
	Token   string `placeholder:"TOKEN" help:"Token of the client; - reads it from the standard input. Without it: a client that has none."`
	JSON    bool   `name:"json" help:"Print one JSON object."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*whyCommand) Help() string {
	return "Asks a running relay what it would decide, and prints what it looked at, step by step: key, client, namespace, patterns, the answer of a hook. The last line is the decision. Exit code 1 if the client may not."
}

// explanation is the answer of the admin listener.
type explanation struct {
	Allowed bool     `json:"allowed"`
	Code    string   `json:"code,omitempty"`
	Steps   []string `json:"steps"`
}

// Run asks and prints.
func (c *whyCommand) Run(p *program) error {
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	if c.Token == "-" {
		if c.Token, err = readLine(p.stdin, 64<<10); err != nil {
			return err
		}
	}
	body, err := json.Marshal(map[string]string{"channel": c.Channel, "op": c.Op, "token": c.Token})
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	var e explanation
	if err := r.Do(ctx, "POST", "/why", body, &e); err != nil {
		return unlessLeft(ctx, fmt.Errorf("why: %w", err))
	}
	if c.JSON {
		if err := json.NewEncoder(p.stdout).Encode(&e); err != nil {
			return unlessLeft(ctx, err)
		}
	} else {
		for _, step := range e.Steps {
			if _, err := fmt.Fprintln(p.stdout, step); err != nil {
				return unlessLeft(ctx, err)
			}
		}
		if e.Allowed {
			_, err = fmt.Fprintf(p.stdout, "ALLOWED: %s on %s\n", c.Op, c.Channel)
			return unlessLeft(ctx, err)
		}
		if _, err := fmt.Fprintf(p.stdout, "REFUSED: %s on %s: %s\n", c.Op, c.Channel, e.Code); err != nil {
			return unlessLeft(ctx, err)
		}
	}
	if !e.Allowed {
		return errors.New("why: the client is not allowed to do this")
	}
	return nil
}
