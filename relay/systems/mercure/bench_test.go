package mercure_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkPublish posts forms over HTTP: on one connection, and on one that closes after each, as PHP does.
func BenchmarkPublish(b *testing.B) {
	g := start(b)
	for name, closes := range map[string]bool{"kept": false, "closed": true} {
		b.Run(name, func(b *testing.B) {
			transport := &http.Transport{DisableKeepAlives: closes}
			defer transport.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequest("POST", g.URL+path, strings.NewReader("topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&data=%7B%22stock%22%3A3%7D"))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Authorization", "Bearer "+anyone)
				a, err := transport.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, a.Body)
				_ = a.Body.Close()
				if a.StatusCode != http.StatusOK {
					b.Fatal(a.Status)
				}
			}
		})
	}
}
