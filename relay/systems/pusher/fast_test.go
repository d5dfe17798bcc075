package pusher_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// TestBothWays makes requests that an event loop answers, each once more with a header that leaves it to the HTTP server: the answers
// are the same, byte for byte but for the date.
func TestBothWays(t *testing.T) {
	g := start(t, func(a *pusher.App) {
		a.Limit.Events = units.Rate{Count: 100, Per: time.Hour}
		a.Limit.Payload = 100
	})
	listener := g.connect(t)
	listener.joined("x", "")
	nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(relaytest.Patience))
	r := bufio.NewReader(nc)
	ask := func(target, body, header string) string {
		t.Helper()
		_, _ = fmt.Fprintf(nc, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Pusher-Library: a 1\r\n%sContent-Length: %d\r\n\r\n%s", target, header, len(body), body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(resp.Body)
		resp.Header.Del("Date")
		return fmt.Sprint(resp.Status, resp.Header, string(out))
	}
	event := func(data string) string { return fmt.Sprintf(`{"name":"e","channel":"x","data":%q}`, data) }
	many := func(n int) string {
		return `{"batch":[` + strings.TrimSuffix(strings.Repeat(event("1")+",", n), ",") + `]}`
	}
	passed := g.Gauge("weir_connections_passed_total")
	for _, c := range []struct {
		path, body, change, want string
		heard                    int
	}{
		{"/apps/1/events", event("1"), "", "200 OK", 1},
		{"/apps/1/batch_events", many(3), "", "200 OK", 3},
		{"/apps/1/batch_events", many(11), "", "400", 0},
		{"/apps/1/batch_events", many(0), "", "200 OK", 0},
		{"/apps/1/events", event(strings.Repeat("x", 101)), "", "413", 0},
		{"/apps/1/events", "{", "", "400", 0},
		{"/apps/1/events", event("1"), "auth_version=1.0/auth_version=2.0", "401", 0},
		{"/apps/1/events", event("1"), "auth_key=/%zz=", "400", 0},
		{"/apps/2/events", event("1"), "", "404", 0},
	} {
		target := strings.Replace(signedTarget("POST", c.path, "", c.body), strings.Split(c.change+"/", "/")[0], strings.Split(c.change+"/", "/")[1], 1)
		here, there := ask(target, c.body, ""), ask(target, c.body, "X-Odd: 1\r\n")
		if here != there || !strings.HasPrefix(here, c.want) {
			t.Errorf("%s %.40s %s:\n%s\n%s", c.path, c.body, c.change, here, there)
		}
		_, _ = nc.Write(nil)
		for range 2 * c.heard {
			listener.data("e", "x", "1")
		}
		_ = nc.Close() // the next one comes to an event loop again
		if nc, err = net.Dial("tcp", strings.TrimPrefix(g.URL, "http://")); err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(relaytest.Patience))
		r.Reset(nc)
	}
	if n := g.Gauge("weir_connections_passed_total") - passed; n != 9 {
		t.Errorf("the HTTP server has taken %v connections over, want one for each odd request", n)
	}
	for status := ""; !strings.HasPrefix(status, "429"); { // beyond the rate of the app
		body := many(10)
		target := signedTarget("POST", "/apps/1/batch_events", "", body)
		here, there := ask(target, body, ""), ask(target, body, "")
		if status = here; strings.HasPrefix(here, "429") && here != there {
			t.Error(here, there)
		}
	}
}
