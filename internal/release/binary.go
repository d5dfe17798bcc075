package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// built is a binary.
type built struct {
	path     string
	goos     string
	arch     string
	contents []byte
}

// build builds weir for a system, statically.
func (r *release) build(ctx context.Context, goos, arch string) (built, error) {
	b := built{path: filepath.Join(r.out, fmt.Sprintf("weir-%s-%s", goos, arch)), goos: goos, arch: arch}
	out, err := filepath.Abs(b.path)
	if err != nil {
		return b, err
	}
	const info = "weir/internal/buildinfo."
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", out, //nolint:gosec // of our own
		"-ldflags", "-s -w -X "+info+"stamped="+r.revision+" -X "+info+"version=v"+r.version, "./cmd/weir")
	cmd.Dir, cmd.Stderr = r.root, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
	if err := cmd.Run(); err != nil {
		return b, err
	}
	b.contents, err = os.ReadFile(b.path)
	return b, err
}

// archive writes weir-VERSION-SYSTEM.tar.gz: the binary, its license, and what it is deployed with.
func (r *release) archive(b built) (err error) {
	name := fmt.Sprintf("weir-%s-%s-%s", r.version, b.goos, b.arch)
	f, err := os.Create(filepath.Join(r.out, name+".tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, f.Close()) }()
	z := gzip.NewWriter(f)
	defer func() { err = firstError(err, z.Close()) }()
	t := tar.NewWriter(z)
	defer func() { err = firstError(err, t.Close()) }()
	if err := r.add(t, name+"/weir", b.contents, 0o755); err != nil {
		return err
	}
	for _, path := range []string{"LICENSE", "README.md", "CHANGELOG.md", "docs/deploy/weir.yaml", "docs/deploy/weir.service"} {
		contents, err := os.ReadFile(r.file(path))
		if err != nil {
			return err
		}
		if err := r.add(t, name+"/"+filepath.Base(path), contents, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// add adds a file of root's to an archive.
func (r *release) add(t *tar.Writer, name string, contents []byte, mode int64) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(contents)), ModTime: r.at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := t.Write(contents)
	return err
}

// firstError is the first of errors that is one.
func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}
