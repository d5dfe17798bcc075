package mercure_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"weir/internal/units"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/mercure"
)

// TestRefusedUpdatesAreNotSent: one topic that the token does not allow spoils the whole update.
func TestRefusedUpdatesAreNotSent(t *testing.T) {
	g := start(t)
	s := g.follow("topic=*")
	for name, x := range map[string]struct{ form, token string }{
		"a topic beyond the token": {"topic=a&topic=b&data=x", token([]string{"a"}, nil)},
		"publish is null":          {"topic=a&data=x", signed(nil, jwt.MapClaims{"mercure": map[string]any{"publish": nil}})},
		"the hub's own topic":      {"topic=a&topic=" + path + "&data=x", anyone},
	} {
		if status, _, body := g.post(x.form, bearer(x.token)); status == http.StatusOK {
			t.Error(name, status, body)
		}
	}
	g.publish("topic", "a", "data", "taken")
	expect(t, s, "taken")
	expect(t, g.follow("topic=*&lastEventID=earliest"), "taken")
}

// TestPrivateWithAnyValue: the field makes an update private, whatever it says.
func TestPrivateWithAnyValue(t *testing.T) {
	g := start(t)
	anonymous, mine := g.follow("topic=a"), g.follow("topic=a", bearer(token(nil, []string{"a"})))
	for _, value := range []string{"on", "", "off", "0", "false"} {
		g.publish("topic", "a", "private", value, "data", "private "+value)
		expect(t, mine, "private "+value)
	}
	g.publish("topic", "a", "data", "public")
	expect(t, anonymous, "public")
}

// TestOriginsOfCookies: Origin goes before Referer, and "*" allows all.
func TestOriginsOfCookies(t *testing.T) {
	cookie := "Cookie: mercureAuthorization=" + anyone
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.PublishOrigins = []string{"https://app.example"} })
	if status, _, _ := g.post("topic=a", cookie, "Origin: https://evil.example", "Referer: https://app.example/"); status != 401 {
		t.Error("Referer before Origin:", status)
	}
	g = start(t, func(_ *config.Config, c *mercure.Config) { c.PublishOrigins = []string{"*"} })
	for line, want := range map[string]int{"Origin: https://any.example": 200, "Referer: https://any.example/page": 200, "X-Other: neither": 401} {
		if status, _, _ := g.post("topic=a", cookie, line); status != want {
			t.Errorf("%q: %d, want %d", line, status, want)
		}
	}
}

// TestKeysOfRoles: a token of one role's key is none for the other.
func TestKeysOfRoles(t *testing.T) {
	g := start(t, func(_ *config.Config, c *mercure.Config) {
		c.Subscriber = []mercure.Key{{Secret: "another key, of subscribers"}}
	})
	if s, status := g.Follow(path+"?topic=a", bearer(token([]string{"*"}, []string{"*"}))); s != nil || status != 401 {
		t.Error("a publisher's token subscribes:", status)
	}
	other, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"mercure": map[string]any{"publish": []string{"*"}, "subscribe": []string{"*"}}}).SignedString([]byte("another key, of subscribers"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := g.post("topic=a", bearer(other)); status != 401 {
		t.Error("a subscriber's token publishes:", status)
	}
	s := g.follow("topic=a", bearer(other))
	g.publish("topic", "a", "private", "on", "data", "x")
	expect(t, s, "x")
}

// TestSubscriptionsAreOff unless they are switched on: there are no documents, and no events.
func TestSubscriptionsAreOff(t *testing.T) {
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.Subscriptions = false })
	all := bearer(token(nil, []string{"*"}))
	watcher := g.follow("topic=*", all)
	g.follow("topic=a").Drop()
	for _, below := range []string{"", "/a", "/a/b"} {
		if status, _, _ := g.request("GET", path+"/subscriptions"+below, "", all); status != 404 {
			t.Error(below, status)
		}
	}
	g.publish("topic", "a", "data", "x")
	expect(t, watcher, "x")
}

// TestSlowSubscribers are closed, and go on from their last id.
func TestSlowSubscribers(t *testing.T) {
	g := start(t, func(c *config.Config, own *mercure.Config) { c.Limit.Queue, own.Subscriptions = 256*units.KiB, false })
	nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := fmt.Fprintf(nc, "GET %s?topic=a HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	g.Await(func() bool { return g.Gauge("weir_mercure_subscribers") == 1 })
	fast := g.follow("topic=a")
	big := strings.Repeat("x", 32<<10)
	count := 0
	for ; count%16 != 0 || g.Gauge("weir_mercure_subscribers") == 2; count++ {
		g.publish("topic", "a", "id", fmt.Sprint(count), "data", big)
		expect(t, fast, big)
		if count == 5000 {
			t.Fatal("it is not closed")
		}
	}
	s := g.follow("topic=a", fmt.Sprintf("Last-Event-ID: %d", count-3))
	for i := count - 2; i < count; i++ {
		if e := s.Next(); e.ID != fmt.Sprint(i) {
			t.Fatal(e.ID, i)
		}
	}
}

// TestModernTokensInAddresses: 1.0 has tokens in the header and the cookie only.
func TestModernTokensInAddresses(t *testing.T) {
	g := start(t)
	good := g.modern([]object{grantOf([]string{"publish", "subscribe"}, nil, object{"match": "*"})}, nil)
	for query, want := range map[string]int{"match=a&authorization=" + good: 401, "topic=a&authorization=" + good: 401, "topic=a&authorization=" + token(nil, nil): 200} {
		s, status := g.Follow(path + "?" + query)
		if s != nil {
			status = 200
			s.Drop()
		}
		if status != want {
			t.Errorf("%s: %d, want %d", query[:7], status, want)
		}
	}
}

// TestQuery: 1.0 also asks with a form, in which the last id is, too.
func TestQuery(t *testing.T) {
	g := start(t)
	g.publish("topic", "q", "id", "1", "data", "1")
	g.publish("topic", "q", "id", "2", "data", "2")
	r, err := http.NewRequest("QUERY", g.URL+path, strings.NewReader("match=q&match_urlpattern=https%3A%2F%2Fe.com%2F%3Aid&last_event_id=1"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != 200 || a.Header.Get("Mercure-Last-Event-ID") != "1" || a.Header.Get("Last-Event-ID") != "" {
		t.Fatal(a.Status, a.Header)
	}
	b := make([]byte, 4096)
	text := ""
	for !strings.Contains(text, "data: 2\n") {
		n, err := a.Body.Read(b)
		if err != nil {
			t.Fatal(err, text)
		}
		text += string(b[:n])
	}
	if strings.Contains(text, "data: 1\n") {
		t.Error(text)
	}
}

// TestMoreTopicsThanAnAddressHolds: 0.x and 1.0 refuse them, and QUERY takes up to 1000.
func TestMoreTopicsThanAnAddressHolds(t *testing.T) {
	g := start(t)
	if status, _, _ := g.request("GET", path+"?"+strings.Repeat("topic=a&", 1001), ""); status < 400 || status > 499 {
		t.Error(status)
	}
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "match=https%%3A%%2F%%2Fexample.com%%2F%d&", i)
	}
	r, err := http.NewRequest("QUERY", g.URL+path, strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || a.StatusCode != 200 {
		t.Fatal(a, err)
	}
	_ = a.Body.Close()
	relaytest.Until(t, "it is gone", func() bool { return g.Gauge("weir_mercure_subscribers") == 0 })
}
