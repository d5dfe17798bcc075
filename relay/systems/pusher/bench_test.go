package pusher_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/process"
	"weir/internal/units"
	"weir/relay/systems/pusher"
)

// BenchmarkRequests compares signed requests with those of the native protocol, one message and ten a request: CPU time of both sides for
// a request. The sides of the clients are alike.
func BenchmarkRequests(b *testing.B) {
	g := start(b, func(a *pusher.App) { a.Limit.Events = units.Rate{Count: 1 << 40, Per: time.Second} })
	data := fmt.Sprintf("%q", `{"id":1234567,"text":"`+strings.Repeat("x", 90)+`"}`)
	one := func(i int) string { return fmt.Sprintf(`{"name":"bench","channel":"bench-%d","data":%s}`, i, data) }
	line := func(i int) string {
		return fmt.Sprintf(`{"channel":"bench:%d","data":{"id":1234567,"text":"%s"}}`, i, strings.Repeat("x", 90))
	}
	signed := func(path, body string) string {
		return "POST " + signedTarget("POST", path, "", body) + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	native := func(kind, body string) string {
		return "POST /v1/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + "the-key-of-the-backend-in-the-tests" + "\r\nContent-Type: " + kind + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for name, make := range map[string]func(i int) string{
		"native/1":  func(i int) string { return native("application/json", line(i)) },
		"native/10": func(i int) string { return native("application/x-ndjson", strings.Repeat(line(i)+"\n", 10)) },
		"signed/1":  func(i int) string { return signed("/apps/1/events", one(i)) },
		"signed/10": func(i int) string {
			return signed("/apps/1/batch_events", `{"batch":[`+strings.TrimSuffix(strings.Repeat(one(i)+",", 10), ",")+`]}`)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			const clients = 16
			var wg sync.WaitGroup
			before := process.CPUTime()
			b.ResetTimer()
			for i := range clients {
				request := []byte(make(i))
				wg.Go(func() {
					nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
					if err != nil {
						b.Error(err)
						return
					}
					defer func() { _ = nc.Close() }()
					r := bufio.NewReader(nc)
					for range b.N/clients + 1 {
						if _, err := nc.Write(request); err != nil {
							b.Error(err)
							return
						}
						resp, err := http.ReadResponse(r, nil)
						if err != nil || resp.StatusCode != http.StatusOK {
							b.Error(resp, err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
					}
				})
			}
			wg.Wait()
			used := process.CPUTime() - before
			b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
		})
	}
}
