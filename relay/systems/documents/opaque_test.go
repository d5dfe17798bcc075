package documents_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/documents"
)

func push(id any, version int, updates ...any) m {
	return m{"type": "push", "id": id, "version": version, "updates": updates}
}

func TestOpaque(t *testing.T) {
	g := start(t, swift)
	a, _, doc := edit(g, "u1", "opaque/d1")
	b, _, _ := edit(g, "u2", "opaque/d1")
	if doc["version"] != 0.0 || doc["snapshot"] != nil || fmt.Sprint(doc["updates"]) != "[]" {
		t.Fatal(doc)
	}
	a.Send(push("p1", 0, m{"clientID": "a", "changes": []any{1}}, m{"clientID": "a", "changes": []any{2}}))
	for version := range 2 {
		want(a, "updates", m{"id": "p1", "version": version, "updates": fmt.Sprintf("[map[changes:[%d] clientID:a]]", version+1)})
		want(b, "updates", m{"id": nil, "version": version})
	}
	b.Send(push("p2", 1, m{"clientID": "b"}))
	want(b, "rejected", m{"id": "p2", "version": 2})
	b.Send(push("p3", 2, m{"clientID": "b"}))
	want(b, "updates", m{"id": "p3", "version": 2})
	want(a, "updates", m{"version": 2})
	a.Send(m{"type": "pull", "id": 1, "since": 1})
	want(a, "updates", m{"id": 1, "version": 1, "updates": "[map[changes:[2] clientID:a] map[clientID:b]]"})

	// A snapshot, and those who join after it.
	a.Send(m{"type": "snapshot", "id": 2, "version": 2, "doc": m{"text": "two"}})
	want(a, "ok", m{"id": 2, "version": 2})
	_, _, late := edit(g, "u3", "opaque/d1")
	if fmt.Sprint(late["snapshot"]) != "map[doc:map[text:two] version:2]" || fmt.Sprint(late["updates"]) != "[map[clientID:b]]" || late["version"] != 3.0 {
		t.Fatal(late)
	}
	_, _, back := edit(g, "u3", fmt.Sprintf("opaque/d1?epoch=%s&version=1", doc["epoch"]))
	if _, has := back["snapshot"]; has || len(back["updates"].([]any)) != 2 {
		t.Fatal(back)
	}
	status, body := g.Backend("GET", "/v1/documents/d1", nil)
	if status != 200 || body.(m)["kind"] != "opaque" || fmt.Sprint(body.(m)["content"]) != "map[text:two]" {
		t.Fatal(status, body)
	}

	for i, tt := range []struct {
		message any
		code    string
	}{
		{push("x", 3), "bad_request"},
		{push("x", 3, 1), "bad_request"},
		{m{"type": "push", "id": "x", "version": 3}, "bad_request"},
		{m{"type": "push", "id": "x", "updates": []any{m{}}}, "bad_request"},
		{m{"type": "push", "id": "x", "version": -1, "updates": []any{m{}}}, "bad_request"},
		{m{"type": "pull", "id": "x", "since": 99}, "bad_version"},
		{m{"type": "pull", "id": "x"}, "bad_request"},
		{m{"type": "snapshot", "id": "x", "version": 1, "doc": 1}, "snapshot_exists"},
		{m{"type": "snapshot", "id": "x", "version": 99, "doc": 1}, "bad_version"},
		{m{"type": "snapshot", "id": "x", "version": 3}, "bad_request"},
		{m{"type": "operation", "id": "x"}, "unknown_type"},
		{`[]`, "invalid_json"},
	} {
		a.Send(tt.message)
		if x := a.Next(); x["type"] != "error" || x["code"] != tt.code {
			t.Errorf("%d: %v was answered %v, not %s", i, tt.message, x, tt.code)
		}
	}
}

// Without snapshots the log does not grow for ever.
func TestOpaqueNeedsSnapshots(t *testing.T) {
	g := start(t, swift)
	a, _, _ := edit(g, "u1", "opaque/d1")
	updates := make([]any, 250)
	for i := range updates {
		updates[i] = m{}
	}
	asked := 0
	version := 0
	for range 6 {
		a.Send(push("p", version, updates...))
		for range updates {
			if x := a.Next(); x["type"] == "snapshot_wanted" {
				asked++
				want(a, "updates", nil)
			} else if x["type"] != "updates" {
				t.Fatal(x)
			}
		}
		version += len(updates)
	}
	a.Send(push("more", version, m{}))
	x := a.Until(func(x m) bool {
		if x["type"] == "snapshot_wanted" {
			asked++
		}
		return x["type"] == "error"
	})
	if x["code"] != "snapshot_needed" || asked != 3 {
		t.Fatal(x, asked)
	}
	a.Send(m{"type": "snapshot", "version": version, "doc": "all"})
	want(a, "ok", nil)
	a.Send(push("more", version, m{}))
	want(a, "updates", m{"id": "more", "version": version})
}

func TestOpaqueGrantsAndDisk(t *testing.T) {
	dir := t.TempDir()
	g := relaytest.Start(t, nil, documents.New())
	may := func(ops ...string) string {
		return g.Token("u1", func(c *auth.Claims) { c.Channels = map[string][]string{"document:d1": ops} })
	}
	reader, _ := g.Dial(may("subscribe"), "/documents/opaque/d1")
	opened(g, reader)
	reader.Send(push("1", 0, m{}))
	want(reader, "error", m{"code": "forbidden"})
	reader.Send(m{"type": "snapshot", "version": 0, "doc": 1})
	want(reader, "error", m{"code": "forbidden"})
	g.Stop()

	durable := func(c *config.Config) { swift(c); c.Data = dir }
	g = start(t, durable)
	a, _, _ := edit(g, "u1", "opaque/d1")
	a.Send(push("1", 0, m{"n": 1}, m{"n": 2}))
	a.Type("updates")
	a.Type("updates")
	a.Send(m{"type": "snapshot", "version": 1, "doc": strings.Repeat("x", 10)})
	want(a, "ok", nil)
	g.Stop()
	g = start(t, durable)
	_, _, doc := edit(g, "u1", "opaque/d1")
	if doc["version"] != 2.0 || fmt.Sprint(doc["snapshot"]) != "map[doc:xxxxxxxxxx version:1]" || fmt.Sprint(doc["updates"]) != "[map[n:2]]" {
		t.Fatal(doc)
	}
}
