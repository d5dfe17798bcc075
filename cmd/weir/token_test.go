package main

import (
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
)

func TestParseChannels(t *testing.T) {
	tests := []struct {
		in   []string
		want map[string][]string // nil: an error
	}{
		{[]string{"room:*:subscribe"}, map[string][]string{"room:*": {"subscribe"}}},
		{[]string{"a:b:c:publish, history"}, map[string][]string{"a:b:c": {"publish", "history"}}},
		{[]string{"a:publish", "a:publish,presence", "b:history"}, map[string][]string{"a": {"publish", "presence"}, "b": {"history"}}},
		{[]string{"room"}, nil},
		{[]string{":subscribe"}, nil},
		{[]string{"room:"}, nil},
		{[]string{"room:*"}, nil},
		{[]string{"room:subscribe,"}, nil},
		{[]string{"room:Subscribe"}, nil},
	}
	for _, tt := range tests {
		got, err := parseChannels(tt.in)
		if (err != nil) != (tt.want == nil) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: want %v, got %v, %v", tt.in, tt.want, got, err)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := version(nil); !strings.HasPrefix(got, "weir (devel) (go") || !strings.HasSuffix(got, ", revision unknown)") {
		t.Errorf("without build information: %s", got)
	}
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"}},
	}
	if got := version(info); !strings.HasPrefix(got, "weir v1.2.3 (") || !strings.HasSuffix(got, "revision 0123456789ab, modified)") {
		t.Errorf("got %s", got)
	}
}
