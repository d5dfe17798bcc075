package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"weir/internal/buildinfo"
)

type versionCommand struct{}

// Run prints one line.
func (versionCommand) Run(p *program) error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintln(p.stdout, version(info))
	return err
}

// versionFlag is the same as a flag, which people try first.
type versionFlag bool

// BeforeReset prints before anything else is looked at.
func (versionFlag) BeforeReset(app *kong.Kong, p *program) error {
	err := versionCommand{}.Run(p)
	app.Exit(exitOK)
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
