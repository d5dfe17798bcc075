package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// npm writes what npm would publish of the client for browsers.
func (r *release) npm(ctx context.Context) error {
	out, err := filepath.Abs(r.out)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", out) //nolint:gosec // of our own
	cmd.Dir, cmd.Stderr = r.file("relay", "web", "client"), os.Stderr
	return cmd.Run()
}

// sums writes SHA256SUMS, as sha256sum reads it, of all files; the binaries that are in archives are not among them.
func (r *release) sums() error {
	var lines strings.Builder
	err := filepath.WalkDir(r.out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(r.out, path)
		if err != nil || strings.HasPrefix(name, "weir-") && !strings.Contains(name, ".") {
			return err
		}
		contents, err := os.ReadFile(path) //nolint:gosec // of our own
		if err != nil {
			return err
		}
		sum := sha256.Sum256(contents)
		fmt.Fprintf(&lines, "%s  %s\n", hex.EncodeToString(sum[:]), filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(lines.String()), 0o644) //nolint:gosec // it is published
}
