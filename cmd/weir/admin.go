package main

import (
	"cmp"

	"weir/internal/remote"
)

// adminFlags are the flags of the commands that ask the admin listener of a relay.
type adminFlags struct {
	Admin      string `short:"a" default:"http://127.0.0.1:9090" placeholder:"URL" help:"Address of the relay's admin listener (default ${default})."`
	AdminToken string `placeholder:"TOKEN" help:"Its token, if it has one (or $$WEIR_ADMIN_TOKEN)."`
	Insecure   bool   `help:"Do not check certificates."`
}

// relay is the admin listener that the flags name, and its token. Errors: it is no address.
func (f *adminFlags) relay(p *program) (*remote.Relay, string, error) {
	r, err := remote.New(f.Admin)
	if err != nil {
		return nil, "", &usageError{err}
	}
	r.Insecure = f.Insecure
	return r, cmp.Or(f.AdminToken, p.getenv("WEIR_ADMIN_TOKEN")), nil
}
