package relay

import (
	"strings"
	"testing"
)

// A path that is nearly right is answered with the right one; one that is like nothing is not.
func TestNearMiss(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for path, want := range map[string]string{
		"/publish":                              "POST /v1/publish",
		"/v1/publish/":                          "POST /v1/publish",
		"/V1/Publish":                           "POST /v1/publish",
		"/v1/pubish":                            "POST /v1/publish",
		"/api/v1/publish":                       "POST /v1/publish",
		"/api/publish":                          "POST /v1/publish",
		"/v2/publish":                           "POST /v1/publish",
		"//v1//publish":                         "POST /v1/publish",
		"/v1/chanels/a":                         "GET /v1/channels/a",
		"/channels/a/presence":                  "GET /v1/channels/a/presence",
		"/ws/":                                  "GET /ws",
		"/metrics":                              "/metrics is on the admin listener",
		"/readyz/":                              "/readyz/ is on the admin listener",
		"/cluster":                              "/cluster is on the admin listener",
		"/cluster/move":                         "/cluster/move is on the admin listener",
		"/figures":                              "/figures is on the admin listener",
		"/followers":                            "/followers is on the admin listener",
		"/trace":                                "/trace is on the admin listener",
		"/why":                                  "/why is on the admin listener",
		"/traffic":                              "/traffic is on the admin listener",
		"/wp-login.php":                         "",
		"/favicon.ico":                          "",
		"/" + strings.Repeat("v1/publish/", 40): "",
	} {
		a := g.api(404, "GET", path, "")
		if want == "" {
			if strings.Contains(a.body, "detail") {
				t.Errorf("%s: %s", path, a.body)
			}
			continue
		}
		if !strings.Contains(a.body, `"detail":"`) || !strings.Contains(a.body, want) {
			t.Errorf("%s: %s, want %s", path, a.body, want)
		}
	}
}

// Whoever sends what is no JSON is told where it is wrong, in every way in which it can be sent.
func TestJSONErrorsNameThePosition(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	const bad = `{"channel":"a","data":{"x" 1}}`
	const want = `"detail":"not valid JSON, at byte 27"`
	for _, path := range []string{"/v1/publish", "/v1/events", "/v1/disconnect"} {
		if a := g.api(400, "POST", path, bad); !strings.Contains(a.body, want) || !strings.Contains(a.body, `"title":"Invalid message format"`) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	c := g.client("u1")
	c.say(bad)
	if h := c.hear(); !strings.Contains(h.raw, want) || h.Message != "Invalid message format" {
		t.Error(h.raw)
	}
	c.say(`{"type":"ping"`)
	if h := c.hear(); !strings.Contains(h.raw, "at byte 14") {
		t.Error(h.raw)
	}
}
