package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"weir/relay/auth"
)

// tokenCheckCommand is weir token check.
type tokenCheckCommand struct {
	Token  string `arg:"" help:"The token; - reads it from the standard input, where others cannot see it in the list of processes."`
	Dev    bool   `xor:"key" help:"As weir serve --dev would check it, with $$WEIR_DEV_TOKEN_SECRET if there is one."`
	Config string `short:"c" xor:"key" placeholder:"FILE" help:"As a relay with this configuration would check it (or $$WEIR_CONFIG)."`
	Secret string `xor:"key" placeholder:"SECRET" help:"Check it with this HS256 secret (or $$WEIR_AUTH_SECRET)."`
}

// Help is the detailed help of the command.
func (*tokenCheckCommand) Help() string {
	return "Prints what the token says, and exits with 1 and the reason if a relay would refuse it. A key set (auth.jwks) is fetched."
}

// keySetPatience is how long a key set may take.
const keySetPatience = 10 * time.Second

// Run prints who the token stands for.
func (t *tokenCheckCommand) Run(p *program) error {
	token := t.Token
	if token == "-" {
		var err error
		if token, err = readLine(p.stdin, 2*auth.MaxToken); err != nil {
			return err
		}
	}
	secret, loaded, err := p.keys("token check: no key to check with", t.Dev, t.Secret, t.Config)
	if err != nil {
		return err
	}
	cfg := auth.Config{Keys: []auth.TokenKey{{Algorithm: "HS256", Secret: secret}}}
	if loaded != nil {
		cfg = loaded.Config.TokenChecks()
	}
	v, err := auth.NewVerifier(cfg)
	if err != nil {
		return &usageError{err}
	}
	defer v.Close()
	ctx, cancel := context.WithTimeout(context.Background(), keySetPatience)
	defer cancel()
	if err := v.WaitKeys(ctx); err != nil {
		return fmt.Errorf("token check: %w", err)
	}
	id, err := v.Verify(strings.TrimSpace(token))
	if refused, ok := errors.AsType[*auth.Error](err); ok {
		return errors.New("token check: " + string(refused.Reason) + ": " + refused.Explain())
	}
	if err != nil {
		return fmt.Errorf("token check: %w", err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "good until %s (%s from now)\nuser      %s\n", id.Expires.Time().UTC().Format(time.RFC3339), time.Until(id.Expires.Time()).Round(time.Second), id.User)
	for _, line := range [][2]string{{"name", id.Name}, {"avatar", id.Avatar}, {"roles", strings.Join(id.Roles, ", ")}} {
		if line[1] != "" {
			fmt.Fprintf(&out, "%-9s %s\n", line[0], line[1])
		}
	}
	for _, g := range id.Grants {
		fmt.Fprintf(&out, "channels  %s: %s\n", g.Pattern, g.Ops)
	}
	_, err = io.WriteString(p.stdout, out.String())
	return err
}
