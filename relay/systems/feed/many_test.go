package feed_test

import (
	"fmt"
	"strings"
	"testing"
)

// One item reaches the feeds of several users, and each has an answer.
func TestOneItemForSeveralUsers(t *testing.T) {
	g := start(t)
	one, two := follow(g, "u1", ""), follow(g, "u 2", "")
	status, out := g.Backend("POST", "/v1/feed", `{"userIds":["u1","u 2","`+strings.Repeat("x", 300)+`"],"type":"post","data":{"n":1},"id":"x1"}`)
	m, _ := out.(map[string]any)
	answers, _ := m["answers"].([]any)
	if status != 200 || len(answers) != 3 || m["failed"] != 1.0 {
		t.Fatal(status, out)
	}
	for i, user := range []string{"u1", "u 2"} {
		if a := answers[i].(map[string]any); a["userId"] != user || a["id"] != "x1" || a["position"] == nil {
			t.Error(a)
		}
	}
	if a := answers[2].(map[string]any); a["code"] != "bad_request" {
		t.Error(a)
	}
	want(one, "post", `{"n":1}`, "x1")
	want(two, "post", `{"n":1}`, "x1")
	for body, why := range map[string]string{
		`{"type":"post","data":1}`:                            "userIds must name 1 to 1000, not 0",
		`{"userIds":[],"type":"post","data":1}`:               "userIds must name 1 to 1000, not 0",
		`{"userIds":["u1","u1"],"type":"post","data":1}`:      "twice",
		`{"userIds":"u1","type":"post","data":1}`:             "userIds must be a list",
		`{"userIds":["u1"],"type":"connected","data":1}`:      "reserved for the stream",
		`{"userIds":["u1"],"userIds":[],"type":"a","data":1}`: "twice",
	} {
		if status, out := g.Backend("POST", "/v1/feed", body); status != 400 || !strings.Contains(fmt.Sprint(out), why) {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	if status, out := g.Backend("POST", "/v1/feed/u1", `{"userIds":["u2"],"type":"post","data":1}`); status != 400 {
		t.Error(status, out)
	}
}
