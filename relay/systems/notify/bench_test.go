package notify

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkWebPush is what one push costs but for the network: the payload, the encryption, the signature.
func BenchmarkWebPush(b *testing.B) {
	key, err := NewVAPID()
	if err != nil {
		b.Fatal(err)
	}
	keys := newBrowser(b).keys()
	w := &webPush{&http.Client{Transport: accepting{}}, key, subject, time.Hour}
	d := &device{Kind: kindWebPush, URL: "https://push.example/x", P256dh: keys["p256dh"], Auth: keys["auth"]}
	n := (&request{UserID: "u1", ID: "n1", Title: "Hello", Body: strings.Repeat("x", 200), Priority: normal}).notification(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if o := w.send(context.Background(), d, n); o.verdict != delivered {
			b.Fatal(o)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
}

// accepting takes every request, at once.
type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody}, nil
}
