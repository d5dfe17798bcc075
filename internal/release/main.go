// Command release makes what is published of a version: binaries, Debian packages, the client for npm, an image, and checksums of all.
//
//	go run . -version 0.1.0 -revision 0123456789ab -time 1700000000 -out ../../bin/release [linux/amd64 ...]
//
// It is a module of its own, so that what packages and images take is no dependency of weir. It needs the Go toolchain and npm, and
// neither root nor a container engine. The same sources, toolchain and arguments make the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// systems are what is built unless arguments say otherwise.
var systems = []string{"linux/amd64", "linux/arm64", "darwin/arm64"}

// release is what is to be made. Set once.
type release struct {
	root     string    // of the sources
	out      string    // directory of the results
	version  string    // semantic, without v
	revision string    // of the commit
	at       time.Time // of the commit: of every file
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	r := release{}
	flags.StringVar(&r.root, "root", "../..", "directory of the sources")
	flags.StringVar(&r.out, "out", "../../bin/release", "directory of the results; what is there is replaced")
	flags.StringVar(&r.version, "version", "", "version, such as 0.1.0")
	flags.StringVar(&r.revision, "revision", "", "commit")
	at := flags.Int64("time", 0, "time of the commit, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r.version, r.at = strings.TrimPrefix(r.version, "v"), time.Unix(*at, 0).UTC()
	if r.version == "" || r.revision == "" || *at == 0 {
		return errors.New("-version, -revision and -time are required")
	}
	list := flags.Args()
	if len(list) == 0 {
		list = systems
	}
	return r.make(ctx, list)
}

// make makes everything for the systems.
func (r *release) make(ctx context.Context, systems []string) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	var images []built
	for _, system := range systems {
		goos, arch, ok := strings.Cut(system, "/")
		if !ok {
			return fmt.Errorf("%q is not a platform: expected one such as linux/amd64", system)
		}
		b, err := r.build(ctx, goos, arch)
		if err != nil {
			return fmt.Errorf("%s: %w", system, err)
		}
		defer os.Remove(b.path) //nolint:errcheck // it is in the archive
		if err := r.archive(b); err != nil {
			return fmt.Errorf("%s: %w", system, err)
		}
		if goos != "linux" {
			continue
		}
		images = append(images, b)
		if err := r.deb(b); err != nil {
			return fmt.Errorf("%s: Debian package: %w", system, err)
		}
	}
	if len(images) > 0 {
		if err := r.image(images); err != nil {
			return fmt.Errorf("image: %w", err)
		}
	}
	if err := r.npm(ctx); err != nil {
		return fmt.Errorf("npm: %w", err)
	}
	return r.sums()
}

// file is a path below the sources.
func (r *release) file(path ...string) string {
	return filepath.Join(append([]string{r.root}, path...)...)
}
