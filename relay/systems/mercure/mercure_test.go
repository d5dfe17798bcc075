package mercure_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/mercure"
)

const path = mercure.Path

// rig is a hub with the key of development mode for both roles.
type rig struct{ *relaytest.Rig }

func start(t testing.TB, change ...func(*config.Config, *mercure.Config)) rig {
	return rig{relaytest.Start(t, func(c *config.Config) { prepare(c, change...) }, mercure.New())}
}

func prepare(c *config.Config, change ...func(*config.Config, *mercure.Config)) {
	own := config.Of[mercure.Config](c)
	own.Publisher = []mercure.Key{{Secret: mercure.DevKey}}
	own.Subscriber = []mercure.Key{{Secret: mercure.DevKey}}
	own.Anonymous, own.Subscriptions = true, true
	own.Issuers = []string{"https://issuer.example"}
	for _, f := range change {
		f(c, own)
	}
}

// token is a token of 0.x.
func token(publish, subscribe []string, more ...jwt.MapClaims) string {
	c := jwt.MapClaims{"mercure": map[string]any{"publish": publish, "subscribe": subscribe}}
	for _, m := range more {
		for k, v := range m {
			c[k] = v
		}
	}
	return signed(nil, c)
}

func signed(header map[string]any, c jwt.MapClaims) string {
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	for k, v := range header {
		t.Header[k] = v
	}
	s, err := t.SignedString([]byte(mercure.DevKey))
	if err != nil {
		panic(err)
	}
	return s
}

var anyone = token([]string{"*"}, nil)

// post publishes a form with header lines, "Name: value".
func (g rig) post(form string, lines ...string) (int, http.Header, string) {
	g.Helper()
	return g.request("POST", path, form, append([]string{"Content-Type: application/x-www-form-urlencoded"}, lines...)...)
}

func (g rig) request(method, target, body string, lines ...string) (int, http.Header, string) {
	g.Helper()
	r, err := http.NewRequest(method, g.URL+target, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.Fatal(err)
	}
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	return a.StatusCode, a.Header, string(b)
}

// publish publishes with a token for everything and returns the id.
func (g rig) publish(pairs ...string) string {
	g.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	status, _, body := g.post(form.Encode(), "Authorization: Bearer "+anyone)
	if status != 200 {
		g.Fatal(status, body)
	}
	return body
}

// follow opens a stream; query is that of the address.
func (g rig) follow(query string, lines ...string) *relaytest.Stream {
	g.Helper()
	s, status := g.Follow(path+"?"+query, lines...)
	if s == nil {
		g.Fatal(query, status)
	}
	return s
}

func query(pairs ...string) string {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form.Encode()
}

func bearer(t string) string { return "Authorization: Bearer " + t }

// expect reads the next events and compares their data.
func expect(t testing.TB, s *relaytest.Stream, data ...string) {
	t.Helper()
	for _, want := range data {
		if e := s.Next(); e.Data != want {
			t.Fatalf("got %+v, want %q", e, want)
		}
	}
}

func TestPublishReachesSubscribers(t *testing.T) {
	g := start(t)
	s := g.follow("topic=https://example.com/books/1")
	other := g.follow("topic=https://example.com/books/2")
	id := g.publish("topic", "https://example.com/books/1", "data", "one")
	if !strings.HasPrefix(id, "urn:uuid:") || len(id) != 45 || id[23] != '7' {
		t.Fatalf("the id %q is no UUID of version 7", id)
	}
	if e := s.Next(); e.Data != "one" || e.ID != id || e.Type != "message" {
		t.Fatalf("%+v", e)
	}
	g.publish("topic", "https://example.com/books/2", "data", "two")
	expect(t, other, "two")
	if h := s.Header; h.Get("Content-Type") != "text/event-stream" || h.Get("X-Accel-Buffering") != "no" ||
		h.Get("Cache-Control") != "private, no-cache, no-store, must-revalidate, max-age=0" || h.Get("Last-Event-Id") != "" {
		t.Fatal(h)
	}
}

func TestResume(t *testing.T) {
	g := start(t)
	for _, data := range []string{"1", "2", "3"} {
		g.publish("topic", "a", "data", data, "id", "id-"+data)
		g.publish("topic", "b", "data", "other "+data)
	}
	for name, lines := range map[string][]string{"header": {"topic=a", "Last-Event-ID: id-1"}, "lastEventID": {"topic=a&lastEventID=id-1"}, "Last-Event-ID": {"topic=a&Last-Event-ID=id-1"}} {
		s := g.follow(lines[0], lines[1:]...)
		expect(t, s, "2", "3")
		if got := s.Header.Get("Last-Event-ID"); got != "id-1" {
			t.Fatal(name, got)
		}
	}
	s := g.follow("topic=a&lastEventID=earliest")
	expect(t, s, "1", "2", "3")
	if got := s.Header.Get("Last-Event-ID"); got != "earliest" {
		t.Fatal(got)
	}
	g.publish("topic", "a", "data", "4")
	expect(t, s, "4")
}
