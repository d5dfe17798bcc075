package disk

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/broker"
)

// BenchmarkDurablePublish is publishers who each wait for the disk before they go on.
func BenchmarkDurablePublish(b *testing.B) {
	data := fmt.Appendf(nil, `{"text":"%0288d"}`, 7)
	for _, publishers := range []int{1, 100} {
		for _, channels := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("publishers=%d/channels=%d", publishers, channels), func(b *testing.B) {
				j, br := open(b, Config{Dir: b.TempDir()})
				names := make([]string, channels)
				for i := range names {
					names[i] = fmt.Sprintf("room:%d", i)
				}
				var turn atomic.Int64
				var all sync.WaitGroup
				waits := make([][]time.Duration, publishers)
				b.ReportAllocs()
				b.ResetTimer()
				for i := range publishers {
					all.Go(func() { // ends when all changes are made
						p := broker.Publication{Op: broker.Send, Data: data}
						for n := turn.Add(1); n <= int64(b.N); n = turn.Add(1) {
							begun := time.Now()
							if _, err := br.Publish(names[int(n)%channels], &p); err != nil {
								b.Error(err)
								return
							}
							waits[i] = append(waits[i], time.Since(begun))
						}
					})
				}
				all.Wait()
				b.StopTimer()
				each := slices.Concat(waits...)
				slices.Sort(each)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
				b.ReportMetric(float64(each[len(each)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(each[len(each)*99/100].Microseconds())/1000, "p99-ms")
				s := j.Stats()
				b.ReportMetric(float64(b.N)/float64(s.Commits), "changes/commit")
			})
		}
	}
}
