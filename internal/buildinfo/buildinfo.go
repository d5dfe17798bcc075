// Package buildinfo reads which build a binary is from what the Go toolchain wrote into it.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// stamped is the commit, with "-dirty" if the work tree held other changes, where the toolchain does not see the
// repository: in a linked work tree, or a container's build. Set by -ldflags -X.
var stamped string

// version is that of a release, such as v0.1.0. Set by -ldflags -X.
var version string

// Info names a build.
type Info struct {
	Version  string // of the module, "(devel)" if the build does not know
	Revision string // 12 digits of the commit, "unknown" without version control
	Modified bool   // the work tree held changes that were not committed
}

// Read returns the build of this binary.
func Read() Info {
	info, _ := debug.ReadBuildInfo()
	return Of(info)
}

// Of is Read for given information, which may be nil.
func Of(info *debug.BuildInfo) Info {
	out := Info{Version: "(devel)", Revision: "unknown"}
	if stamped != "" {
		out.Revision, out.Modified = strings.CutSuffix(stamped, "-dirty")
	}
	if info != nil && info.Main.Version != "" {
		out.Version = info.Main.Version
	}
	if version != "" {
		out.Version = version
	}
	if info == nil {
		return out
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			out.Revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			out.Modified = s.Value == "true"
		}
	}
	return out
}
