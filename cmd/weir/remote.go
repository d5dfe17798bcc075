package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"weir/internal/remote"
	"weir/relay/config"
)

// remoteFlags are the flags of the commands that talk to a relay from outside.
type remoteFlags struct {
	URL      string `short:"u" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the relay (default ${default})."`
	Insecure bool   `help:"Do not check certificates."`
}

// relay is the relay that the flags name. Errors: it is no address.
func (f *remoteFlags) relay() (*remote.Relay, error) {
	r, err := remote.New(f.URL)
	if err != nil {
		return nil, &usageError{err}
	}
	r.Insecure = f.Insecure
	return r, nil
}

// keyFlag is the key of a backend.
type keyFlag struct {
	APIKey string `name:"api-key" placeholder:"KEY" help:"API key of a backend (or $$WEIR_API_KEY or $$WEIR_DEV_API_KEY; \"dev\" is that of development mode, and the default)."`
}

// apiKey is the key to use.
func (f *keyFlag) apiKey(p *program) string {
	return cmp.Or(f.APIKey, p.getenv("WEIR_API_KEY"), p.getenv("WEIR_DEV_API_KEY"), config.DevKey)
}

// untilSignal returns a context that ends with the first signal to stop.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// unlessLeft makes nothing of an error that a user has caused by leaving: Ctrl-C, or a pipe that nobody reads any more.
func unlessLeft(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
