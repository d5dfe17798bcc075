package config_test

import (
	"slices"
	"testing"

	"weir/relay/config"
)

// What nodes of a cluster compare are settings that are not as they would be by themselves, in their names in the file: a setting that one version has and another one has not makes no difference
// while nobody sets it, and the limits of a node's own make none.
func TestSharedIsWhatIsSet(t *testing.T) {
	c := config.Config{Namespaces: config.Namespaces{
		"default": {},
		"room":    {History: config.History{Size: new(512)}, Subscribe: config.Authenticated, Batch: config.Batch{Eager: new(false)}},
		"plain":   {History: config.History{Size: new(256)}, Presence: new(true)}, // as by itself
	}, Systems: []string{"presence"}}
	want := []string{"cluster.partitions: 64", "namespaces.default", "namespaces.plain", "namespaces.room", "namespaces.room.batch.eager: false",
		"namespaces.room.history.size: 512", "namespaces.room.subscribe: authenticated", "systems: presence"}
	whole := c.WithDefaults()
	if got := whole.Shared(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	c.Limit.Connections, c.Heartbeat = 7, 3e9
	other := c.WithDefaults()
	if got := other.Shared(); !slices.Equal(got, want) {
		t.Errorf("with limits of its own: %q", got)
	}
}
