package relay

import (
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/hub"
)

func TestEventLines(t *testing.T) {
	g := open(t)
	a := g.ask("POST", "/v1/events", "{\"topic\":\"a\",\"data\":1}\n\n{\"topic\":\"b c\"}\r\n{\n{\"topic\":\"d\",\"key\":\"room:1\"}\n{\"topic\":\"e\",\"key\":\"x y\"}",
		"Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatal(a.Status, a.Header)
	}
	lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
	if len(lines) != 5 || lines[0] != "{}" || lines[3] != "{}" {
		t.Fatal(a.body)
	}
	for i, want := range map[int]string{1: `"bad_request","message":"topic must be`, 2: `"invalid_json"`, 4: `"bad_request","message":"key must be`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: %s", i, lines[i])
		}
	}
	if !strings.HasSuffix(lines[1], `"line":3}`) || !strings.HasSuffix(lines[2], `"line":4}`) || !strings.HasSuffix(lines[4], `"line":6}`) {
		t.Error(a.body)
	}
	wantProblem(t, g.ask("POST", "/v1/events", `{}`, "Authorization: Bearer "+apiKey, "Content-Type: application/xml"), 415, "media_type")
}

// A token that may publish everywhere is no licence to speak for systems and backends.
func TestClientsEmitWhatTheirTokenNames(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		may     bool
	}{{"*", false}, {"event:*", true}, {"event:cart.add", true}, {"event:cart.remove", false}, {"cart.add", false}} {
		id := &auth.Identity{User: "u1", Grants: []auth.Grant{{Pattern: tt.pattern, Ops: auth.Publish}}}
		if got := hub.Named(id, auth.Publish, "event:cart.add", hub.EventNamespace); got != tt.may {
			t.Errorf("%s: %v", tt.pattern, got)
		}
	}
}
