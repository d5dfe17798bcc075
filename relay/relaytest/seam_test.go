package relaytest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/units"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/jsonbody"
	"weir/relay/relaytest"
)

// desk is a system with one thing on it, which users may look at and change.
type desk struct{}

func (desk) Name() string { return "desk" }
func (desk) Close()       {}
func (desk) Start(host relay.Host) error {
	host.User("GET", "/desk", func(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
		return jsonbody.Write(ctx, 200, map[string]string{"user": id.User})
	})
	host.User("POST", "/desk", func(ctx *fasthttp.RequestCtx, _ *auth.Identity) error {
		var v struct {
			Name string `json:"name"`
		}
		if err := jsonbody.Read(ctx, &v); err != nil {
			return err
		}
		return jsonbody.Write(ctx, 201, v)
	})
	host.Backend("POST", "/v1/desk", func(*fasthttp.RequestCtx) error { return nil })
	return nil
}

const page = "https://app.example"

func withPage(c *config.Config) {
	c.Origins = []string{page}
	c.Auth.Cookie = "session"
}

func TestPreflight(t *testing.T) {
	g := relaytest.Start(t, withPage, desk{})
	for _, path := range []string{"/desk", "/sse"} {
		status, h, _ := g.Do("OPTIONS", path, nil, "Origin: "+page, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
		if status != 204 || h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") {
			t.Error(path, status, h)
		}
		if status, h, _ = g.Do("OPTIONS", path, nil, "Origin: https://evil.example"); status != 403 || h.Get("Access-Control-Allow-Origin") != "" {
			t.Error("another page", path, status, h)
		}
	}
	if status, _, _ := g.Do("OPTIONS", "/v1/desk", nil, "Origin: "+page); status != 405 {
		t.Error("a route of backends is for no page", status)
	}
}

func TestCrossOriginAnswers(t *testing.T) {
	g := relaytest.Start(t, withPage, desk{})
	token := "Authorization: Bearer " + g.Token("u1")
	for _, tt := range []struct {
		method, body string
		status       int
	}{{"GET", "", 200}, {"POST", `{"name":"a"}`, 201}, {"POST", `{"name":1}`, 400}} {
		var body any
		if tt.body != "" {
			body = tt.body
		}
		status, h, out := g.Do(tt.method, "/desk", body, token, "Origin: "+page)
		if status != tt.status || h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") == "" {
			t.Error(tt, status, h, out)
		}
		if tt.status == 400 && out.(map[string]any)["title"] != "name must be a string" {
			t.Error(out)
		}
	}
	if status, _, _ := g.Do("GET", "/desk", nil, token, "Origin: https://evil.example"); status != 403 {
		t.Error("another page", status)
	}
	if status, h, _ := g.Do("GET", "/desk", nil, token); status != 200 || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Cache-Control") != "no-store" {
		t.Error("no page", status, h)
	}
}

// A page elsewhere can make its visitors' browsers send their cookies, and must gain nothing by that.
func TestCookieNeedsOrigin(t *testing.T) {
	g := relaytest.Start(t, withPage, desk{})
	cookie := "Cookie: session=" + g.Token("u1")
	for _, tt := range []struct {
		method string
		lines  []string
		status int
	}{
		{"GET", []string{cookie}, 200},
		{"POST", []string{cookie}, 403},
		{"POST", []string{cookie, "Origin: https://evil.example"}, 403},
		{"POST", []string{cookie, "Origin: null"}, 403},
		{"POST", []string{cookie, "Origin: " + page}, 201},
		{"POST", []string{cookie, "Origin: " + g.URL}, 201},
		{"POST", []string{"Authorization: Bearer " + g.Token("u1")}, 201},
	} {
		var body any
		if tt.method == "POST" {
			body = `{"name":"a"}`
		}
		if status, _, out := g.Do(tt.method, "/desk", body, tt.lines...); status != tt.status {
			t.Error(tt.method, tt.lines[1:], status, out)
		}
	}
}

func TestUserQuota(t *testing.T) {
	g := relaytest.Start(t, func(c *config.Config) { c.Limit.Commands = units.Rate{Count: 3, Per: time.Hour} }, desk{})
	for i := range 6 {
		if status, out := g.As("u1", "GET", "/desk", nil); status != 200 {
			t.Fatal(i, status, out)
		}
	}
	status, h, out := g.Do("GET", "/desk", nil, "Authorization: Bearer "+g.Token("u1"))
	if status != 429 || h.Get("Retry-After") == "" {
		t.Error(status, h, out)
	}
	if status, _ := g.As("u2", "GET", "/desk", nil); status != 200 {
		t.Error("another user pays for it", status)
	}
}
