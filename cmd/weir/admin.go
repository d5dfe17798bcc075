package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"weir/internal/remote"
)

// adminFlags are the flags of the commands that ask the admin listener of a relay.
type adminFlags struct {
	Admin      string `short:"a" default:"http://127.0.0.1:9090" placeholder:"URL" help:"Address of the relay's admin listener (default ${default})."`
	AdminToken string `placeholder:"TOKEN" help:"Its token, if it has one (or $$WEIR_ADMIN_TOKEN)."`
	Insecure   bool   `help:"Do not check certificates."`
}

// relay is the admin listener that the flags name. Errors: it is no address, or the token is none.
func (f *adminFlags) relay(p *program) (*adminListener, error) {
	r, err := remote.New(f.Admin)
	if err != nil {
		return nil, wrongf("--admin: %w", err)
	}
	token := cmp.Or(f.AdminToken, p.getenv("WEIR_ADMIN_TOKEN"))
	if strings.ContainsAny(token, "\r\n") {
		return nil, wrongf("--admin-token: expected one line")
	}
	r.Insecure = f.Insecure
	return &adminListener{Relay: r, token: token}, nil
}

// adminListener is the admin listener of a relay.
type adminListener struct {
	*remote.Relay

	token string // "" for none
}

// Do makes a request and decodes the answer into v, as remote.Relay does.
func (a *adminListener) Do(ctx context.Context, method, path string, body []byte, v any) error {
	return a.hint(a.Relay.Do(ctx, method, path, a.token, body, v))
}

// hint adds to an answer that knows no such path what is likely: that it is another listener's. What an admin listener does not find, it says in words of its own.
func (a *adminListener) hint(err error) error {
	var r *remote.Refusal
	if errors.As(err, &r) && r.Status == http.StatusNotFound && (r.Code == "" || r.Reason == "not found" || strings.HasSuffix(r.Reason, "on the admin listener")) {
		return wrongf("%w: %s is not the address of an admin listener (--admin)", err, a.URL.Redacted())
	}
	return err
}
