package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkDurableHTTP is 100 backends that publish 300 B each over HTTP and wait for the disk, one change or a
// hundred lines of NDJSON a request. Clients and relay share the processors. The channels are there before: that a new one is none that the disk has
// lost is looked up once, and is not measured here.
func BenchmarkDurableHTTP(b *testing.B) {
	for _, lines := range []int{1, 100} {
		b.Run(fmt.Sprintf("publishers=100/lines=%d", lines), func(b *testing.B) {
			cfg := openConfig()
			kept(b.TempDir())(&cfg)
			g := launch(b, cfg)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			waits := make([][]time.Duration, 100)
			for i := range waits {
				g.relay.mustPublish(b, fmt.Sprintf(`{"channel":"kept:%d","data":0}`, i))
			}
			b.ResetTimer()
			for i := range waits {
				line := fmt.Sprintf(`{"channel":"kept:%d","data":"%0288d"}`, i, i) + "\n"
				body, kind := strings.Repeat(line, lines), "application/x-ndjson"
				if lines == 1 {
					kind = "application/json"
				}
				request := fmt.Sprintf("POST /v1/publish HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", apiKey, kind, len(body), body)
				all.Go(func() { // ends when all changes are made
					nc, err := net.Dial("tcp", g.public)
					if err != nil {
						b.Error(err)
						return
					}
					defer nc.Close()
					r := bufio.NewReader(nc)
					for left.Add(-int64(lines)) > -int64(lines) {
						begun := time.Now()
						if _, err := io.WriteString(nc, request); err != nil {
							b.Error(err)
							return
						}
						resp, err := http.ReadResponse(r, nil)
						if err != nil || resp.StatusCode != 200 {
							b.Error(err, resp)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						waits[i] = append(waits[i], time.Since(begun))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			each := slices.Concat(waits...)
			slices.Sort(each)
			b.ReportMetric(float64(len(each)*lines)/b.Elapsed().Seconds(), "changes/s")
			b.ReportMetric(float64(each[len(each)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(each[len(each)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
