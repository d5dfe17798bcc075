package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	vcs := &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"}}}
	plain := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	for _, tt := range []struct {
		name    string
		stamped string
		info    *debug.BuildInfo
		want    Info
	}{
		{"nothing", "", nil, Info{"(devel)", "unknown", false}},
		{"no version control", "", plain, Info{"(devel)", "unknown", false}},
		{"version control", "fedcba987654", vcs, Info{"v0.1.0", "0123456789ab", true}},
		{"stamped", "fedcba987654", plain, Info{"(devel)", "fedcba987654", false}},
		{"stamped, modified", "fedcba987654-dirty", nil, Info{"(devel)", "fedcba987654", true}},
	} {
		stamped = tt.stamped
		if got := Of(tt.info); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	stamped, version = "", "v1.2.3"
	if got := Of(plain); got != (Info{"v1.2.3", "unknown", false}) {
		t.Errorf("a release: %+v", got)
	}
	version = ""
}
