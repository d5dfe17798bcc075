package stats_test

import (
	"testing"

	"weir/relay/stats"
)

// What noting a publication costs while nobody records, and while somebody does.
func BenchmarkTraffic(b *testing.B) {
	b.Run("off", func(b *testing.B) {
		var x stats.Traffic
		b.ReportAllocs()
		for b.Loop() {
			x.Published("bench:1", 128)
		}
	})
	b.Run("on", func(b *testing.B) {
		var x stats.Traffic
		if _, ok := x.Sample("", nil); !ok {
			b.Fatal("not recording")
		}
		b.ReportAllocs()
		for b.Loop() {
			x.Published("bench:1", 128)
		}
	})
}
