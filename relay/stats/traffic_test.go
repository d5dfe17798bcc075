package stats_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/relay/stats"
)

// A recording has the shape of what happens, by channels that have no names, and nothing while nobody asks.
func TestTrafficIsRecordedWhileSomebodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x stats.Traffic
		x.Published("room:secret", 100) // nobody asks
		first, ok := x.Sample("", map[string]int{"room:secret": 3})
		if !ok || len(first.Channels) != 1 || first.Channels[0].Subscribers != 3 || first.Channels[0].Sizes != nil {
			t.Fatalf("%v %+v", ok, first)
		}
		if _, ok := x.Sample("", nil); ok {
			t.Error("two recordings at a time")
		}
		for range 5 {
			x.Published("room:secret", 100)
		}
		x.Published("room:other", 5000)
		x.Joined("room:other")
		next, ok := x.Sample(first.Recording, map[string]int{"room:other": 1})
		text := string(next.Append(nil))
		if !ok || len(next.Channels) != 2 || strings.Contains(text, "secret") || !strings.Contains(text, first.Channels[0].ID) || !strings.Contains(text, `"sizes":{"112":5}`) ||
			!strings.Contains(text, `"subscribers":1,"joins":1,"sizes":{"5120":1}`) {
			t.Error(ok, text)
		}
		time.Sleep(11 * time.Second)
		x.Published("room:other", 1)
		if _, ok := x.Sample(first.Recording, nil); ok {
			t.Error("it went on although nobody asked")
		}
		again, ok := x.Sample("", map[string]int{"room:secret": 3})
		if !ok || again.Channels[0].ID == first.Channels[0].ID {
			t.Error("channels can be told across recordings")
		}
		x.End(again.Recording)
		if _, ok := x.Sample(again.Recording, nil); ok {
			t.Error("it did not end")
		}
		if n := testing.AllocsPerRun(100, func() { x.Published("room:secret", 100); x.Joined("room:secret") }); n != 0 {
			t.Errorf("%v allocations while nobody asks", n)
		}
	})
}
