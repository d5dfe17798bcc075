package documents_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/relay/config"
	"weir/relay/systems/documents"
)

func TestAPI(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[documents.Config](c).Size = 2 << 10 })
	status, body := g.Backend("GET", "/v1/documents/d1", nil)
	if status != 404 || body.(m)["code"] != "not_found" {
		t.Fatal(status, body)
	}
	if status, body = g.Backend("PUT", "/v1/documents/d1", m{"text": "one <two> \"three\"\n", "userId": "u9"}); status != 200 || body.(m)["version"] != 1.0 {
		t.Fatal(status, body)
	}
	a, _, doc := edit(g, "u1", "d1/collaborate")
	if doc["text"] != "one <two> \"three\"\n" {
		t.Fatal(doc)
	}
	g.Backend("PUT", "/v1/documents/d1", m{"text": "one 2 \"three\"\n", "userId": "u9"})
	want(a, "operation", m{"userId": "u9", "version": 2, "operation": "[4 2 map[d:5]]"})
	if status, body = g.Backend("POST", "/v1/documents/d1/operations", m{"operation": []any{4, "1+"}, "version": 1, "src": "job", "id": 1}); status != 200 || body.(m)["version"] != 3.0 {
		t.Fatal(status, body)
	}
	want(a, "operation", m{"version": 3, "src": "job", "id": 1})
	for _, again := range []m{{"operation": []any{4, "1+"}, "version": 1, "src": "job", "id": 1}, {"operation": []any{4, "1+"}, "src": "job", "id": 1}} {
		if status, body = g.Backend("POST", "/v1/documents/d1/operations", again); status != 200 || body.(m)["version"] != 3.0 {
			t.Fatal(status, body)
		}
	}
	a.Send(operation("x", 3, "> "))
	want(a, "ok", m{"version": 4})

	for version, text := range []string{"", "one <two> \"three\"\n", "one 2 \"three\"\n", "one 1+2 \"three\"\n", "> one 1+2 \"three\"\n"} {
		status, body = g.Backend("GET", fmt.Sprintf("/v1/documents/d1?version=%d", version), nil)
		if status != 200 || body.(m)["text"] != text || body.(m)["version"] != float64(version) || body.(m)["kind"] != "text" {
			t.Errorf("version %d: %d %v", version, status, body)
		}
	}
	_, body = g.Backend("GET", "/v1/documents/d1/operations?since=1&limit=2", nil)
	list := body.(m)["operations"].([]any)
	if len(list) != 2 || list[0].(m)["version"] != 2.0 || list[1].(m)["src"] != "job" || body.(m)["more"] != true || body.(m)["version"] != 4.0 {
		t.Fatal(body)
	}
	for _, tt := range []struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		{"GET", "/v1/documents/d1?version=5", nil, 400, "bad_version"},
		{"GET", "/v1/documents/d1?version=x", nil, 400, "bad_request"},
		{"GET", "/v1/documents/a%20b", nil, 400, "bad_document"},
		{"GET", "/v1/documents/d2/operations", nil, 404, "not_found"},
		{"GET", "/v1/documents/d1/operations?since=9", nil, 400, "bad_version"},
		{"GET", "/v1/documents/d1/operations?limit=0", nil, 400, "bad_request"},
		{"PUT", "/v1/documents/d1", m{}, 400, "bad_request"},
		{"PUT", "/v1/documents/d1", m{"text": 1}, 400, "bad_request"},
		{"PUT", "/v1/documents/d1", `{"text":"a\ud83d"}`, 400, "bad_request"},
		{"PUT", "/v1/documents/d1", `{"text":"\ude00\ud83d"}`, 400, "bad_request"},
		{"PUT", "/v1/documents/d1", `{"text":null}`, 400, "bad_request"},
		{"PUT", "/v1/documents/d1", "{\"text\":\"a\xed\xa0\xbd\"}", 400, "invalid_json"},
		{"POST", "/v1/documents/d1/operations", `{"operation":["a\ud83d"]}`, 400, "bad_operation"},
		{"PUT", "/v1/documents/d1", "nonsense", 400, "invalid_json"},
		{"PUT", "/v1/documents/d1", m{"text": strings.Repeat("x", 3<<10)}, 413, "document_too_large"},
		{"PUT", "/v1/documents/d1", m{"text": "x", "userId": strings.Repeat("x", 200)}, 400, "bad_request"},
		{"POST", "/v1/documents/d1/operations", m{}, 400, "bad_request"},
		{"POST", "/v1/documents/d1/operations", m{"operation": []any{99, "x"}}, 400, "bad_operation"},
		{"POST", "/v1/documents/d1/operations", m{"operation": []any{"x"}, "version": 9}, 400, "bad_version"},
		{"POST", "/v1/documents/d1/operations", m{"operation": []any{"x"}, "id": 1}, 400, "bad_request"},
		{"POST", "/v1/documents/d1/operations", m{"operation": []any{"x"}, "src": "a b", "id": 1}, 400, "bad_request"},
		{"POST", "/v1/documents/d1/operations", m{"operation": []any{"x"}, "src": "s", "id": m{}}, 400, "bad_request"},
		{"DELETE", "/v1/documents/d2", nil, 404, "not_found"},
	} {
		if status, body := g.Backend(tt.method, tt.path, tt.body); status != tt.status || body.(m)["code"] != tt.code {
			t.Errorf("%s %s %.60v: %d %v", tt.method, tt.path, tt.body, status, body)
		}
	}
	if status, _ := g.As("u1", "GET", "/v1/documents/d1", nil); status != 401 {
		t.Error("a user's token", status)
	}

	if status, body := g.Backend("DELETE", "/v1/documents/d1", nil); status != 204 {
		t.Fatal(status, body)
	}
	if code := a.Closed(); code != 4003 {
		t.Error(code)
	}
	if status, _ := g.Backend("GET", "/v1/documents/d1", nil); status != 404 {
		t.Error(status)
	}
	_, _, other := edit(g, "u1", "d1/collaborate?epoch="+doc["epoch"].(string)+"&version=0")
	if other["text"] != "" || other["version"] != 0.0 || other["epoch"] == doc["epoch"] {
		t.Fatal(other)
	}
}

// What a backend puts exists, even if it is nothing.
func TestEmptyDocument(t *testing.T) {
	g := start(t)
	if status, body := g.Backend("PUT", "/v1/documents/d1", m{"text": ""}); status != 200 {
		t.Fatal(status, body)
	}
	if status, body := g.Backend("GET", "/v1/documents/d1", nil); status != 200 || body.(m)["text"] != "" {
		t.Fatal(status, body)
	}
	v := 0.0
	for range 2 { // the same text again changes nothing, but that it is an operation
		status, body := g.Backend("PUT", "/v1/documents/d1", m{"text": "same"})
		if status != 200 || body.(m)["version"].(float64) < v {
			t.Fatal(status, body)
		}
		v = body.(m)["version"].(float64)
	}
}

// Documents are on disk where there is a data directory: text, operations, epoch, and what tells resends.
func TestDurable(t *testing.T) {
	dir := t.TempDir()
	durable := func(c *config.Config) { swift(c); c.Data = dir }
	g := start(t, durable)
	a, hello, doc := edit(g, "u1", "d1/collaborate")
	b, _, _ := edit(g, "u2", "d1/collaborate")
	const n = 700 // more than lie between two snapshots
	for i := range n {
		a.Send(operation(i, i, "ä"))
		want(a, "ok", m{"version": i + 1})
		want(b, "operation", m{"version": i + 1})
	}
	g.Backend("PUT", "/v1/documents/gone", m{"text": "x"})
	g.Backend("DELETE", "/v1/documents/gone", nil)
	g.Stop()

	g = start(t, durable)
	if status, _ := g.Backend("GET", "/v1/documents/gone", nil); status != 404 {
		t.Error("what was deleted is there again", status)
	}
	status, body := g.Backend("GET", "/v1/documents/d1", nil)
	if status != 200 || body.(m)["text"] != strings.Repeat("ä", n) || body.(m)["version"] != float64(n) || body.(m)["epoch"] != doc["epoch"] {
		t.Fatal(status, body)
	}
	if status, body = g.Backend("GET", "/v1/documents/d1?version=3", nil); status != 200 || body.(m)["text"] != "äää" {
		t.Fatal(status, body)
	}
	a, _, doc = edit(g, "u1", fmt.Sprintf("d1/collaborate?src=%s&epoch=%s&version=%d", hello["src"], doc["epoch"], n-1))
	if ops := doc["operations"].([]any); len(ops) != 1 || ops[0].(m)["src"] != hello["src"] {
		t.Fatal(doc)
	}
	a.Send(operation(n-1, n-1, "ä"))
	want(a, "ok", m{"version": n})
	a.Send(operation(n, n, "z"))
	want(a, "ok", m{"version": n + 1})
}
