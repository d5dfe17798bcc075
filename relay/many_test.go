package relay

import (
	"fmt"
	"strings"
	"testing"

	"weir/relay/hub"
)

// One publication for several channels is made in each, and each has an answer: over HTTP, as a line, and to disk.
func TestPublishToSeveralChannels(t *testing.T) {
	g := open(t, kept(t.TempDir()))
	one, two := g.client("u1"), g.client("u2")
	one.subscribe("a", "")
	two.subscribe("kept:1", "")
	a := g.api(200, "POST", "/v1/publish", `{"channels":["a","not one","kept:1"],"key":"k","data":{"n":1}}`)
	var out struct {
		Answers []struct {
			Channel, Code string
			Position      struct{ Seq uint64 }
		}
		Failed int
	}
	unmarshal(t, a.body, &out)
	if len(out.Answers) != 3 || out.Failed != 1 || out.Answers[0].Channel != "a" || out.Answers[0].Position.Seq != 1 || out.Answers[1].Code != "bad_channel" ||
		out.Answers[2].Channel != "kept:1" || out.Answers[2].Position.Seq != 1 {
		t.Error(a.body)
	}
	one.change(1, `{"n":1}`)
	two.change(1, `{"n":1}`)

	lines := g.ask("POST", "/v1/publish", `{"channel":"a","data":2}`+"\n"+`{"channels":["a","b"],"data":3}`+"\n"+`{"channels":[],"data":3}`+"\n"+`{"channel":"a","data":4}`,
		"Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	got := strings.Split(strings.TrimSpace(lines.body), "\n")
	if len(got) != 4 || !strings.HasPrefix(got[0], `{"position"`) || !strings.HasPrefix(got[1], `{"answers":[{"channel":"a","position":`) || !strings.HasSuffix(got[1], `"failed":0}`) ||
		!strings.Contains(got[2], `"line":3`) || !strings.HasPrefix(got[3], `{"position"`) {
		t.Error(lines.body)
	}
	for i, data := range []string{"2", "3", "4"} {
		one.change(uint64(i+2), data)
	}

	// The same key again changes nothing anywhere.
	once := `{"channels":["a","c"],"data":5,"idempotencyKey":"x"}`
	if first, again := g.api(200, "POST", "/v1/publish", once).body, g.api(200, "POST", "/v1/publish", once).body; first != again {
		t.Errorf("%s, then %s", first, again)
	}
	one.change(5, "5")
	one.quiet()
}

func TestPublishToTooManyChannels(t *testing.T) {
	g := open(t)
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"m:%d"`, i)
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	if a := g.api(200, "POST", "/v1/publish", `{"channels":`+names(hub.MaxMany)+`,"data":1}`); strings.Count(a.body, `"position"`) != hub.MaxMany || !strings.HasSuffix(a.body, `"failed":0}`) {
		t.Errorf("%.300s", a.body)
	}
	for body, want := range map[string]string{
		`{"channels":` + names(hub.MaxMany+1) + `,"data":1}`: "channels must name 1 to 1000, not 1001",
		`{"channels":[],"data":1}`:                           "channels must name 1 to 1000, not 0",
		`{"channels":["a","b","a"],"data":1}`:                "channels names a twice",
		`{"channels":"a","data":1}`:                          "channels must be a list of names",
		`{"channels":["a",1],"data":1}`:                      "channels must be a list of names",
		`{"channels":["a"],"channel":"b","data":1}`:          "either channel or channels",
		`{"channels":["a"],"channels":["b"],"data":1}`:       "duplicate member",
		`{"channel":null,"channels":null,"data":1}`:          "channel",
		`{"channels":[["a"]],"channel":"b","data":{"a":1}`:   "invalid_json",
	} {
		if a := g.api(400, "POST", "/v1/publish", body); !strings.Contains(a.body, want) {
			t.Errorf("%.80s: %s, not %s", body, a.body, want)
		}
	}
	if a := g.api(200, "POST", "/v1/publish", `{"channels":["a","b"]}`); strings.Count(a.body, `"code":"bad_request"`) != 2 || !strings.HasSuffix(a.body, `"failed":2}`) {
		t.Error(a.body) // what is wrong everywhere is told everywhere
	}
}
