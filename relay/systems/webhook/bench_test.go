package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/relaytest"
)

// BenchmarkDelivery is events of a hundred keys to one endpoint on loopback, from the event to the answer.
func BenchmarkDelivery(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer srv.Close()
	s := New()
	relaytest.Start(b, func(c *config.Config) {
		*config.Of[Config](c) = Config{{Name: "bench", URL: srv.URL, Topics: []string{"*"}, Secrets: []string{testSecret}, AllowInsecure: true, Queue: 1000}}
	}, s)
	p := s.endpoints[0]
	n := 0
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	b.ReportAllocs()
	for b.Loop() {
		for p.status().Waiting > 900 {
			<-tick.C
		}
		n++
		_ = s.dispatch(&hub.Event{Topic: "order.paid", Key: fmt.Sprint("order:", n%100), Data: []byte(`{"order":7}`)})
	}
	for p.status().Waiting > 0 {
		<-tick.C
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if dead := p.status().Dead; dead > 0 {
		b.Errorf("%d were given up", dead)
	}
}
