package main

import (
	"errors"
	"io"
	"os"
)

// input opens a file that was named; "-" is stdin. The caller closes it.
func (p *program) input(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.stdin), nil
	}
	return os.Open(name)
}

// output makes a file, which must not exist yet; "" is stdout. done makes it safe on disk and closes it.
func (p *program) output(name string) (w io.Writer, done func() error, err error) {
	if name == "" {
		return p.stdout, func() error { return nil }, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, func() error { return errors.Join(f.Sync(), f.Close()) }, nil
}
