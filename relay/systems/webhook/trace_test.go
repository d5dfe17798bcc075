package webhook_test

import (
	"fmt"
	"net/http"
	"testing"

	"weir/relay/systems/webhook"
)

// TestTraceparent: the trace of an event goes along with its request, whether it came with the request or with the line; what is none does not.
func TestTraceparent(t *testing.T) {
	const one, two = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-11111111111111111111111111111111-00f067aa0ba902b7-00"
	got := make(chan string, 10)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Get("traceparent") })
	g := start(t, webhook.Webhook{Name: "shop", URL: b.URL, Topics: []string{"*"}})
	send := func(body, kind, header string) {
		t.Helper()
		if status, _, out := g.Do("POST", "/v1/events", body, "Authorization: Bearer the-key-of-the-backend-in-the-tests", "Content-Type: "+kind, "traceparent: "+header); status/100 != 2 {
			t.Fatal(status, out)
		}
	}
	for _, x := range []struct{ body, kind, header, want string }{
		{`{"topic":"t","key":"k","data":1}`, "application/json", one, one},
		{`{"topic":"t","key":"k","data":1,"traceparent":"` + two + `"}`, "application/x-ndjson", one, two},
		{`{"topic":"t","key":"k","data":1}`, "application/x-ndjson", one, one},
		{`{"topic":"t","key":"k","data":1,"traceparent":"none"}`, "application/json", "00-" + fmt.Sprintf("%032d", 0) + "-00f067aa0ba902b7-01", ""},
	} {
		send(x.body, x.kind, x.header)
		b.next()
		if trace := <-got; trace != x.want {
			t.Errorf("%s: %q, want %q", x.body, trace, x.want)
		}
	}
	await(g, "waiting:0")
}
