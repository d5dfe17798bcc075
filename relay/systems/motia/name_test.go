package motia

import (
	"strings"
	"testing"

	"weir/internal/wire"
	"weir/relay/systems/internal/escape"
)

// FuzzNames finds that every name that is taken comes back, and that no two groups have one channel.
func FuzzNames(f *testing.F) {
	for _, pair := range [][2]string{{"chat", "room:1"}, {"room:1", "messages"}, {"a~b", "~3A"}, {"ä ö", "x\x00"}, {"", "a"}, {"a", ""}} {
		f.Add(pair[0], pair[1], "chat", "room:1")
	}
	f.Fuzz(func(t *testing.T, stream, id, otherStream, otherID string) {
		g, other := group{stream, id}, group{otherStream, otherID}
		channel, ok := channelOf(g)
		if key, fine := keyOf(id); fine && (!wire.ValidName(key) || escape.Undo(key) != id) {
			t.Errorf("%q has the key %q", id, key)
		}
		if !ok {
			return
		}
		if back, found := groupOf(channel); !found || back != g || !wire.ValidChannel(channel) {
			t.Errorf("%q is %q and back %q, %v", g, channel, back, found)
		}
		if second, fine := channelOf(other); fine && (second == channel) != (g == other) {
			t.Errorf("%q and %q are %q and %q", g, other, channel, second)
		}
	})
}

func TestNames(t *testing.T) {
	for _, x := range []struct {
		group
		channel string
	}{
		{group{"chat", "room:1"}, "stream:chat:room:1"},
		{group{"room:1", "messages"}, "stream:room~3A1:messages"},
		{group{"a~b", "c~d"}, "stream:a~7Eb:c~7Ed"},
	} {
		if got, ok := channelOf(x.group); got != x.channel || !ok {
			t.Error(got, ok, x)
		}
	}
	if _, ok := channelOf(group{"s", strings.Repeat("ä", 60)}); ok {
		t.Error("a name of 360 bytes is taken")
	}
	if _, ok := groupOf("other:a:b"); ok {
		t.Error("a channel of another namespace is a group")
	}
}

// TestItems finds the id of an item in what clients are told of it, in place.
func TestItems(t *testing.T) {
	for data, want := range map[string]string{
		`{"a":1}`:               `{"a":1,"id":"k"}`,
		`{}`:                    `{"id":"k"}`,
		`{"id":7,"b":{"id":8}}`: `{"id":"k","b":{"id":8}}`,
		`{"id":"k"}`:            `{"id":"k"}`,
		`[1]`:                   `{"id":"k","value":[1]}`,
		`null`:                  `{"id":"k","value":null}`,
		``:                      `{"id":"k","value":null}`,
	} {
		if got := string(appendItem(nil, "k", []byte(data))); got != want {
			t.Errorf("%s is told as %s, want %s", data, got, want)
		}
	}
	for data, want := range map[string]string{
		`{"type":"typing","data":{"by":"ann"}}`: `{"type":"event","event":{"type":"typing","data":{"by":"ann"}}}`,
		`{"type":"typing"}`:                     `{"type":"event","event":{"type":"typing"}}`,
		`{"type":"a","more":1}`:                 `{"type":"event","event":{"type":"message","data":{"type":"a","more":1}}}`,
		`{"type":1,"data":2}`:                   `{"type":"event","event":{"type":"message","data":{"type":1,"data":2}}}`,
		`"hello"`:                               `{"type":"event","event":{"type":"message","data":"hello"}}`,
		``:                                      `{"type":"event","event":{"type":"message","data":null}}`,
	} {
		if got := string(appendEvent(nil, []byte(data))); got != want {
			t.Errorf("%s is told as %s, want %s", data, got, want)
		}
	}
}
