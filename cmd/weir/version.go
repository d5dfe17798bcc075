package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"weir/internal/buildinfo"
)

type versionCommand struct{}

// Run prints one line.
func (versionCommand) Run(p *program) error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintln(p.stdout, version(info))
	return err
}

// version is the line that says which build this is. info may be nil.
func version(info *debug.BuildInfo) string {
	b, modified := buildinfo.Of(info), ""
	if b.Modified {
		modified = ", modified"
	}
	return fmt.Sprintf("weir %s (%s %s/%s, revision %s%s)", b.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, b.Revision, modified)
}
