package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
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
	name, revision, modified := "(devel)", "unknown", ""
	if info != nil {
		if info.Main.Version != "" {
			name = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
	}
	return fmt.Sprintf("weir %s (%s %s/%s, revision %s%s)", name, runtime.Version(), runtime.GOOS, runtime.GOARCH, revision, modified)
}
