package mercure_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/relay/config"
	"weir/relay/systems/mercure"
)

func TestPublishRefusals(t *testing.T) {
	g := start(t, func(_ *config.Config, c *mercure.Config) {
		c.PublishOrigins = []string{"https://app.example", "https://*.wild.example"}
	})
	only := token([]string{"https://example.com/books/{id}"}, nil)
	many := strings.Repeat("topic=a&", 1001)
	cookie := "Cookie: mercureAuthorization=" + anyone
	for name, x := range map[string]struct {
		form   string
		lines  []string
		status int
	}{
		"no token":                  {"topic=a", nil, 401},
		"not a token":               {"topic=a", []string{"Authorization: Bearer x"}, 401},
		"another scheme":            {"topic=a", []string{"Authorization: Basic eDp5"}, 401},
		"no publish claim":          {"topic=a", []string{bearer(token(nil, []string{"*"}))}, 401},
		"empty publish claim":       {"topic=a", []string{bearer(token([]string{}, nil))}, 401},
		"no mercure claim":          {"topic=a", []string{bearer(signed(nil, jwt.MapClaims{}))}, 401},
		"claims of the wrong type":  {"topic=a", []string{bearer(signed(nil, jwt.MapClaims{"mercure": map[string]any{"publish": "*"}}))}, 401},
		"expired":                   {"topic=a", []string{bearer(token([]string{"*"}, nil, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}))}, 401},
		"not yet":                   {"topic=a", []string{bearer(token([]string{"*"}, nil, jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}))}, 401},
		"no algorithm":              {"topic=a", []string{"Authorization: Bearer eyJhbGciOiJub25lIn0.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0."}, 401},
		"1001 selectors":            {"topic=a", []string{bearer(token(make([]string, 1001), nil))}, 401},
		"a topic beyond the token":  {"topic=https://example.com/books/1&topic=a", []string{bearer(only)}, 401},
		"a slash in a variable":     {"topic=https://example.com/books/1/2", []string{bearer(only)}, 401},
		"all topics within":         {"topic=https://example.com/books/1&topic=https://example.com/books/2", []string{bearer(only)}, 200},
		"no topic":                  {"data=x", []string{bearer(anyone)}, 400},
		"1001 topics":               {many, []string{bearer(anyone)}, 400},
		"1000 topics":               {many[8:], []string{bearer(anyone)}, 200},
		"the hub's own topic":       {"topic=/.well-known/mercure/subscriptions/x", []string{bearer(anyone)}, 403},
		"id with CR":                {"topic=a&id=a%0Db", []string{bearer(anyone)}, 400},
		"id with LF":                {"topic=a&id=a%0Ab", []string{bearer(anyone)}, 400},
		"id with NUL":               {"topic=a&id=a%00b", []string{bearer(anyone)}, 400},
		"id with #":                 {"topic=a&id=%23a", []string{bearer(anyone)}, 400},
		"id earliest":               {"topic=a&id=earliest", []string{bearer(anyone)}, 400},
		"type with LF":              {"topic=a&type=a%0Ab", []string{bearer(anyone)}, 400},
		"type with NUL":             {"topic=a&type=a%00b", []string{bearer(anyone)}, 400},
		"retry is no number":        {"topic=a&retry=1s", []string{bearer(anyone)}, 400},
		"retry is negative":         {"topic=a&retry=-1", []string{bearer(anyone)}, 400},
		"unknown fields":            {"topic=a&other=1", []string{bearer(anyone)}, 200},
		"in the query":              {"topic=a", nil, 401},
		"cookie without origin":     {"topic=a", []string{cookie}, 401},
		"cookie, another origin":    {"topic=a", []string{cookie, "Origin: https://evil.example"}, 401},
		"cookie, allowed origin":    {"topic=a", []string{cookie, "Origin: https://app.example"}, 200},
		"cookie, origin by pattern": {"topic=a", []string{cookie, "Origin: https://a.wild.example"}, 200},
		"cookie, not by pattern":    {"topic=a", []string{cookie, "Origin: https://wild.example"}, 401},
		"cookie, evil by pattern":   {"topic=a", []string{cookie, "Origin: https://evil.example/.wild.example"}, 401},
		"cookie, allowed referer":   {"topic=a", []string{cookie, "Referer: https://app.example/page"}, 200},
		"cookie, another referer":   {"topic=a", []string{cookie, "Referer: https://app.example.evil/page"}, 401},
		"header before cookie":      {"topic=a", []string{cookie, bearer("x")}, 401},
		"with a header, any origin": {"topic=a", []string{bearer(anyone), "Origin: https://evil.example"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, body := g.post(x.form, x.lines...); status != x.status {
				t.Errorf("%d %s, want %d", status, body, x.status)
			}
		})
	}
	if status, h, _ := g.post("topic=a"); status != 401 || !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
		t.Error(status, h)
	}
	status, _, _ := g.request("POST", path+"?authorization="+anyone, "topic=a", "Content-Type: application/x-www-form-urlencoded")
	if status != 200 {
		t.Error("a token in the query:", status)
	}
	named := signed(nil, jwt.MapClaims{"https://mercure.rocks/": map[string]any{"publish": []string{"*"}}, "mercure": map[string]any{"publish": []string{}}})
	if status, _, _ := g.post("topic=a", bearer(named)); status != 200 {
		t.Error("the named claim does not win:", status)
	}
}

func TestSubscribeRefusals(t *testing.T) {
	g := start(t)
	closed := start(t, func(_ *config.Config, c *mercure.Config) { c.Anonymous = false })
	for name, x := range map[string]struct {
		g      rig
		query  string
		lines  []string
		status int
	}{
		"no topic":                     {g, "", nil, 400},
		"anonymous is off":             {closed, "topic=a", nil, 401},
		"anonymous is off, 1.0":        {closed, "match=a", nil, 401},
		"a bad token is not anonymous": {g, "topic=a", []string{bearer("x")}, 401},
		"a bad token in the query":     {g, "topic=a&authorization=x", nil, 401},
		"a bad cookie":                 {g, "topic=a", []string{"Cookie: mercureAuthorization=x"}, 401},
		"both versions":                {g, "topic=a&match=b", nil, 400},
		"unknown match":                {g, "match_regexp=a", nil, 400},
		"match in capitals":            {g, "Match=a", nil, 400},
		"no URL pattern":               {g, "match_urlpattern=https://example.com/(", nil, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, body := x.g.request("GET", path+"?"+x.query, "", x.lines...); status != x.status {
				t.Errorf("%d %s, want %d", status, body, x.status)
			}
		})
	}
	for _, lines := range [][]string{{bearer(token(nil, nil))}, {"Cookie: mercureAuthorization=" + token(nil, []string{"a"})}} {
		s := closed.follow("topic=a", lines...)
		closed.publish("topic", "a", "data", "x")
		expect(t, s, "x")
		s.Drop()
	}
}

func TestSelectors(t *testing.T) {
	g := start(t)
	for name, x := range map[string]struct {
		query string
		yes   []string
		no    []string
	}{
		"string":                 {query("topic", "a"), []string{"a"}, []string{"b", "A", "aa"}},
		"all":                    {query("topic", "*"), []string{"a", "https://x"}, nil},
		"template":               {query("topic", "https://e.com/b/{id}"), []string{"https://e.com/b/1", "https://e.com/b/{id}"}, []string{"https://e.com/b/1/2", "https://e.com/c/1"}},
		"reserved":               {query("topic", "https://e.com/{+p}"), []string{"https://e.com/b/1/2"}, []string{"https://f.com/1"}},
		"query":                  {query("topic", "https://e.com/b{?q}"), []string{"https://e.com/b?q=1"}, []string{"https://e.com/b/1"}},
		"begins with a variable": {query("topic", "{+all}"), []string{"a/b"}, nil},
		"no template":            {query("topic", "a{"), []string{"a{"}, []string{"a"}},
		"match":                  {query("match", "https://e.com/b/{id}"), []string{"https://e.com/b/{id}"}, []string{"https://e.com/b/1"}},
		"match all":              {query("match", "*"), []string{"a"}, nil},
		"pattern":                {query("match_urlpattern", "https://e.com/b/:id"), []string{"https://e.com/b/1", "HTTPS://E.com/b/1"}, []string{"https://e.com/b/1/2", "b"}},
		"several":                {query("topic", "a", "topic", "b"), []string{"a", "b"}, []string{"c"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := g.follow(x.query)
			for _, topic := range x.no {
				g.publish("topic", topic, "data", "no "+topic)
			}
			for _, topic := range x.yes {
				g.publish("topic", topic, "data", "yes "+topic)
				expect(t, s, "yes "+topic)
			}
			s.Drop()
		})
	}
	s := g.follow(query("topic", "a", "topic", "{+x}", "topic", "*"))
	g.publish("topic", "a", "topic", "b", "data", "once")
	g.publish("topic", "c", "data", "next")
	expect(t, s, "once", "next")
}

func TestEvents(t *testing.T) {
	g := start(t)
	s := g.follow("topic=a")
	g.publish("topic", "a", "data", "1\r\n2\r3\n4\n", "type", "book", "retry", "1234", "id", `id-["a",{"b":1}]`)
	if e := s.Next(); e.Data != "1\n2\n3\n4\n" || e.Type != "book" || e.ID != `id-["a",{"b":1}]` || s.Retry != "1234" {
		t.Fatalf("%+v %s", e, s.Retry)
	}
	g.publish("topic", "a", "type", "message", "id", "x")
	if e := s.Next(); e.Data != "" || e.Type != "message" || e.ID != "x" {
		t.Fatalf("%+v", e)
	}
	again := g.follow(query("topic", "a", "lastEventID", `id-["a",{"b":1}]`))
	if e := again.Next(); e.ID != "x" {
		t.Fatalf("%+v", e)
	}
	if got := again.Header.Get("Last-Event-ID"); got != `id-["a",{"b":1}]` {
		t.Fatal(got)
	}
}

func TestPrivate(t *testing.T) {
	g := start(t)
	anonymous := g.follow("topic=a")
	alternate := g.follow("topic=a", bearer(token(nil, []string{"user/1"})))
	other := g.follow("topic=a", bearer(token(nil, []string{"user/2"})))
	rightOnly := g.follow("topic=b", bearer(token(nil, []string{"*"})))
	for _, private := range []string{"on", ""} {
		g.publish("topic", "a", "topic", "user/1", "private", private, "data", "secret")
		expect(t, alternate, "secret")
	}
	g.publish("topic", "a", "topic", "b", "data", "open")
	expect(t, anonymous, "open")
	expect(t, alternate, "open")
	expect(t, other, "open")
	expect(t, rightOnly, "open")
	expect(t, g.follow("topic=a&lastEventID=earliest", bearer(token(nil, []string{"user/{id}"}))), "secret", "secret", "open")
	expect(t, g.follow("topic=a&lastEventID=earliest"), "open")
}

func TestUnknownID(t *testing.T) {
	g := start(t)
	known := func(lines ...string) string {
		s := g.follow("topic=a&lastEventID=lost", lines...)
		defer s.Drop()
		return s.Header.Get("Last-Event-ID")
	}
	if got := known(); got != "earliest" {
		t.Fatal(got)
	}
	g.publish("topic", "b", "id", "public")
	g.publish("topic", "a", "id", "hidden", "private", "on")
	if got := known(); got != "public" {
		t.Fatal(got)
	}
	if got := known(bearer(token(nil, []string{"a"}))); got != "hidden" {
		t.Fatal(got)
	}
	s := g.follow("topic=a&lastEventID=lost")
	g.publish("topic", "a", "data", "live")
	expect(t, s, "live")
	g.publish("topic", "a", "id", "twice", "data", "1")
	g.publish("topic", "a", "id", "twice", "data", "2")
	expect(t, g.follow("topic=a", "Last-Event-ID: twice"), "2")
	if got := g.follow("match=a&last_event_id=twice").Header.Get("Mercure-Last-Event-ID"); got != "twice" {
		t.Fatal(got)
	}
}

func TestResumeAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	onDisk := func(c *config.Config, _ *mercure.Config) { c.Data = dir }
	g := start(t, onDisk)
	g.publish("topic", "a", "id", "1", "data", "1")
	g.publish("topic", "a", "id", "2", "data", "2\n2", "private", "on", "type", "t")
	g.Stop()
	g = start(t, onDisk)
	s := g.follow("topic=a", "Last-Event-ID: 1", bearer(token(nil, []string{"a"})))
	if e := s.Next(); e.Data != "2\n2" || e.Type != "t" || e.ID != "2" {
		t.Fatalf("%+v", e)
	}
	expect(t, g.follow("topic=a&lastEventID=earliest"), "1")
}

func TestCORS(t *testing.T) {
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.CORSOrigins = []string{"https://app.example", "null"} })
	for origin, want := range map[string]bool{"https://app.example": true, "null": true, "https://evil.example": false} {
		status, h, _ := g.request("OPTIONS", path, "", "Origin: "+origin, "Access-Control-Request-Method: GET")
		allowed := h.Get("Access-Control-Allow-Origin") == origin && h.Get("Access-Control-Allow-Credentials") == "true" &&
			strings.Contains(h.Get("Access-Control-Allow-Headers"), "authorization, cache-control")
		if status != 204 || allowed != want {
			t.Error(origin, status, h)
		}
		s := g.follow("topic=a", "Origin: "+origin)
		if got := s.Header.Get("Access-Control-Allow-Origin") == origin && strings.Contains(s.Header.Get("Access-Control-Expose-Headers"), "Last-Event-ID"); got != want {
			t.Error(origin, s.Header)
		}
		s.Drop()
	}
}

// modern is a token of 1.0; change may spoil it.
func (g rig) modern(detail any, change func(header map[string]any, c jwt.MapClaims)) string {
	header := map[string]any{"typ": "at+jwt"}
	c := jwt.MapClaims{"iss": "https://issuer.example", "aud": g.URL + path, "exp": time.Now().Add(time.Hour).Unix(), "authorization_details": detail}
	if change != nil {
		change(header, c)
	}
	return signed(header, c)
}

type object = map[string]any

func grantOf(actions []string, payload any, topics ...object) object {
	o := object{"type": "https://mercure.rocks/authorization-detail", "actions": actions, "topics": topics}
	if payload != nil {
		o["payload"] = payload
	}
	return o
}

func TestModernTokens(t *testing.T) {
	g := start(t)
	all := []object{grantOf([]string{"publish", "subscribe"}, nil, object{"match": "*"})}
	set := func(key string, value any) func(object, jwt.MapClaims) {
		return func(_ object, c jwt.MapClaims) {
			if c[key] = value; value == nil {
				delete(c, key)
			}
		}
	}
	for name, x := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"good":                   {g.modern(all, nil), 200, ""},
		"list of audiences":      {g.modern(all, set("aud", []string{"x", g.URL + path})), 200, ""},
		"typ JWT":                {g.modern(all, func(h object, _ jwt.MapClaims) { h["typ"] = "JWT" }), 401, "invalid_token"},
		"no exp":                 {g.modern(all, set("exp", nil)), 401, "invalid_token"},
		"expired":                {g.modern(all, set("exp", 1)), 401, "invalid_token"},
		"no iss":                 {g.modern(all, set("iss", nil)), 401, "invalid_token"},
		"another iss":            {g.modern(all, set("iss", "https://evil.example")), 401, "invalid_token"},
		"another aud":            {g.modern(all, set("aud", "https://evil.example")), 401, "invalid_token"},
		"may not publish":        {g.modern([]object{grantOf([]string{"subscribe"}, nil, object{"match": "*"})}, nil), 403, "insufficient_scope"},
		"another topic":          {g.modern([]object{grantOf([]string{"publish"}, nil, object{"match": "b"})}, nil), 403, "insufficient_scope"},
		"exact is no template":   {g.modern([]object{grantOf([]string{"publish"}, nil, object{"match": "{x}"})}, nil), 403, "insufficient_scope"},
		"exact by name":          {g.modern([]object{grantOf([]string{"publish"}, nil, object{"match": "a", "match_type": "exact"})}, nil), 200, ""},
		"others' entries":        {g.modern([]object{{"type": "tenant", "topics": "x"}, all[0]}, nil), 200, ""},
		"an entry without match": {g.modern([]object{all[0], grantOf([]string{"publish"}, nil, object{"match_type": "exact"})}, nil), 401, "invalid_token"},
		"an unknown match_type":  {g.modern([]object{all[0], grantOf([]string{"publish"}, nil, object{"match": "a", "match_type": "regexp"})}, nil), 401, "invalid_token"},
		"an unknown action":      {g.modern([]object{all[0], grantOf([]string{"delete"}, nil, object{"match": "a"})}, nil), 401, "invalid_token"},
		"topics of no list":      {g.modern([]object{all[0], {"type": "https://mercure.rocks/authorization-detail", "actions": []string{"publish"}, "topics": "a"}}, nil), 401, "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			status, h, body := g.post("topic=a", bearer(x.token))
			challenge := h.Get("WWW-Authenticate")
			if status != x.status || x.code != "" && !strings.Contains(challenge, `error="`+x.code+`"`) && x.status != 401 {
				t.Errorf("%d %s %s, want %d %s", status, body, challenge, x.status, x.code)
			}
		})
	}
	good := g.modern(all, nil)
	if status, h, _ := g.post(strings.Repeat("topic=a&", 1001), bearer(good)); status != 413 {
		t.Error(status, h)
	}
	if status, h, _ := g.post("data=a", bearer(good)); status != 400 || !strings.Contains(h.Get("WWW-Authenticate"), `error="invalid_request"`) {
		t.Error(status, h)
	}
	if status, h, _ := g.request("GET", path+"?match=a", "", bearer("x")); status != 401 || !strings.Contains(h.Get("WWW-Authenticate"), `error="invalid_token"`) ||
		!strings.Contains(h.Get("WWW-Authenticate"), g.URL+"/.well-known/oauth-protected-resource"+path) {
		t.Error(status, h)
	}
	status, _, body := g.request("GET", "/.well-known/oauth-protected-resource"+path, "")
	if status != 200 || !strings.Contains(body, `"resource":"`+g.URL+path+`"`) || !strings.Contains(body, "https://issuer.example") {
		t.Error(status, body)
	}
	// The cookie of 1.0 reads and publishes, from pages of the hub's own origin.
	cookie := "Cookie: __Secure-mercure_access_token=" + good
	s := g.follow(query("match_urlpattern", "https://e.com/:id"), cookie)
	if status, _, _ := g.post(query("topic", "https://e.com/1", "private", "on", "data", "whisper"), cookie, "Origin: "+g.URL); status != 200 {
		t.Error(status)
	}
	expect(t, s, "whisper")
	if status, _, _ := g.post("topic=a", cookie, "Origin: https://evil.example"); status != 401 {
		t.Error(status)
	}
	r, err := http.NewRequest("QUERY", g.URL+path, strings.NewReader("match=q"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := g.request("QUERY", path, "match=q", "Content-Type: text/plain"); status != 415 {
		t.Error(status)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(a, err)
	}
	a.Body.Close()
}

func TestActiveSubscriptions(t *testing.T) {
	g := start(t)
	watch := token(nil, []string{path + "/subscriptions{/topic}{/subscriber}"})
	const topic = "https://e.com/{id}"
	events := g.follow(query("topic", path+"/subscriptions/{topic}/{subscriber}"), bearer(watch))
	s := g.follow(query("topic", topic), bearer(token(nil, nil, jwt.MapClaims{"mercure": object{"payload": object{"name": "ann"}}})))
	begun := events.Next()
	var d struct {
		Context                     string `json:"@context"`
		ID, Type, Subscriber, Topic string
		Active                      bool
		Payload                     struct{ Name string }
		LastEventID                 string
	}
	read := func(body string) {
		t.Helper()
		d.LastEventID, d.Active = "", false
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			t.Fatal(err, body)
		}
	}
	read(begun.Data)
	if want := path + "/subscriptions/https%3A%2F%2Fe.com%2F%7Bid%7D/" + url.QueryEscape(d.Subscriber); d.ID != want || d.Type != "Subscription" ||
		d.Topic != topic || !d.Active || d.Payload.Name != "ann" || d.Context != "https://mercure.rocks/" || !strings.HasPrefix(d.Subscriber, "urn:uuid:") {
		t.Fatalf("%+v, want %s", d, want)
	}
	get := func(target string, lines ...string) (int, http.Header, string) {
		t.Helper()
		return g.request("GET", target, "", append(lines, bearer(watch))...)
	}
	status, h, body := get(d.ID)
	read(body)
	if status != 200 || h.Get("Content-Type") != "application/ld+json" || d.LastEventID != begun.ID || h.Get("ETag") != `"`+begun.ID+`"` {
		t.Fatal(status, h, body)
	}
	if status, _, _ := get(d.ID, "If-None-Match: "+h.Get("ETag")); status != 304 {
		t.Fatal(status)
	}
	for target, want := range map[string]int{"": 2, "/https%3A%2F%2Fe.com%2F%7Bid%7D": 1, "/none": 0} {
		status, _, body := get(path + "/subscriptions" + target)
		var list struct {
			Type, LastEventID string
			Subscriptions     []object
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 || list.Type != "Subscriptions" || len(list.Subscriptions) != want || list.LastEventID != begun.ID {
			t.Fatal(target, status, body, err)
		}
	}
	if status, _, _ := get(path + "/subscriptions/none/none"); status != 404 {
		t.Fatal(status)
	}
	for _, lines := range [][]string{nil, {bearer(anyone)}, {bearer(token(nil, []string{path + "/subscriptions/other"}))}} {
		if status, _, _ := g.request("GET", path+"/subscriptions", "", lines...); status != 401 {
			t.Fatal(lines, status)
		}
	}
	s.Drop()
	ended := events.Next()
	read(ended.Data)
	if d.Active || !strings.Contains(ended.Data, "\n  \"id\"") {
		t.Fatal(ended.Data)
	}
	if status, _, _ := get(d.ID); status != 404 {
		t.Fatal(status)
	}
	// From the list's last id on, events say what has changed since.
	back := g.follow(query("topic", path+"/subscriptions/{topic}/{subscriber}"), bearer(watch), "Last-Event-ID: "+begun.ID)
	if e := back.Next(); e.ID != ended.ID {
		t.Fatalf("%+v", e)
	}
}

func TestModernSubscriptions(t *testing.T) {
	g := start(t)
	watch := g.modern([]object{grantOf([]string{"subscribe"}, nil, object{"match": path + "/subscriptions{/:type}?{/:match}?{/:subscriber}?", "match_type": "urlpattern"})}, nil)
	events := g.follow(query("match_urlpattern", path+"/subscriptions/:type/:match/:subscriber"), bearer(watch))
	member := g.modern([]object{grantOf([]string{"subscribe"}, object{"n": 1}, object{"match": "room-1"}), grantOf([]string{"subscribe"}, object{"n": 2}, object{"match": "room-2"})}, nil)
	s := g.follow("match=room-1&match=room-2", bearer(member))
	for i, room := range []string{"room-1", "room-2"} {
		e := events.Next()
		var d object
		if err := json.Unmarshal([]byte(e.Data), &d); err != nil || e.Type != "mercure" || d["type"] != "subscription" || d["match"] != room || d["match_type"] != "exact" ||
			d["active"] != true || d["payload"].(object)["n"] != float64(i+1) || d["@context"] != nil {
			t.Fatal(e, err)
		}
		if status, h, body := g.request("GET", d["id"].(string), "", bearer(watch)); status != 200 || h.Get("Content-Type") != "application/json" {
			t.Fatal(status, body)
		}
	}
	if status, _, body := g.request("GET", path+"/subscriptions/exact", "", bearer(watch)); status != 200 || strings.Count(body, `"room-`) != 2 {
		t.Fatal(status, body)
	}
	if status, _, _ := g.request("GET", path+"/subscriptions", "", bearer(member)); status != 403 {
		t.Fatal(status)
	}
	s.Drop()
	for range 2 {
		if e := events.Next(); !strings.Contains(e.Data, `"active": false`) {
			t.Fatal(e)
		}
	}
}
