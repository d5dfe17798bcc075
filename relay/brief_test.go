package relay

import (
	"fmt"
	"strings"
	"testing"
)

// With answers=errors lines that were accepted are counted, and the others answered as ever; and all that is accepted is
// delivered.
func TestBriefAnswers(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	epoch := c.subscribe("a", "").Position.Epoch
	head := []string{"Authorization: Bearer " + apiKey, "Content-Type: application/x-ndjson"}
	ask := func(query, body string) string {
		t.Helper()
		a := g.ask("POST", "/v1/publish"+query, body, head...)
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatal(a.Status, a.Header, a.body)
		}
		return a.body
	}
	lines := `{"channel":"a","data":1}` + "\n\n" + `{"channel":"a b","data":1}` + "\n" + `{"channels":["a","b"],"data":2}` + "\n" +
		`{"channels":["a","b c"],"data":3}` + "\n" + `{"channel":"a","data":4}` + "\n" + `{"channel":"a"}`
	want := fmt.Sprintf(`{"code":"bad_channel","message":"channel must be 1 to 255 of A-Z a-z 0-9 _ - . : / @ ~ = and not begin with a dot","line":3}
{"answers":[{"channel":"a","position":{"epoch":"%[1]s","seq":3}},{"channel":"b c","code":"bad_channel","message":"channel must be 1 to 255 of A-Z a-z 0-9 _ - . : / @ ~ = and not begin with a dot"}],"failed":1,"line":5}
{"code":"bad_request","message":"data is missing","line":7}
{"accepted":3,"position":{"epoch":"%[1]s","seq":4}}
`, epoch)
	if got := ask("?answers=errors", lines); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for i, data := range []string{"1", "2", "3", "4"} {
		c.change(uint64(i+1), data)
	}
	for _, test := range []struct{ body, want string }{
		{"", `{"accepted":0}`},
		{"\n \n", `{"accepted":0}`},
		{`{"channels":["c","d"],"data":1}`, `{"accepted":1}`},
	} {
		if got := ask("?answers=errors", test.body); got != test.want+"\n" {
			t.Errorf("%q: %s", test.body, got)
		}
	}
	if got := ask("?answers=all", `{"channel":"e","data":1}`); !strings.HasPrefix(got, `{"position":`) {
		t.Error(got)
	}
	wantProblem(t, g.ask("POST", "/v1/publish?answers=some", `{"channel":"a","data":1}`, head...), 400, "bad_request")
	wantProblem(t, g.ask("POST", "/v1/events?answers=some", `{"topic":"a"}`, head...), 400, "bad_request")
	if a := g.api(200, "POST", "/v1/publish?answers=errors", `{"channel":"e","data":2}`); !strings.HasPrefix(a.body, `{"position":`) {
		t.Errorf("one publication by itself: %s", a.body)
	}
	events := g.ask("POST", "/v1/events?answers=errors", `{"topic":"a"}`+"\n"+`{"topic":"b c"}`+"\n"+`{"topic":"d"}`, head...)
	if got := strings.Split(strings.TrimSpace(events.body), "\n"); events.StatusCode != 200 || len(got) != 2 ||
		!strings.Contains(got[0], `"bad_request"`) || !strings.HasSuffix(got[0], `"line":2}`) || got[1] != `{"accepted":2}` {
		t.Error(events.body)
	}
}

// Whatever stands between the tokens of a line's data, a reader gets it on one line.
func TestLinesHoldNoBreaks(t *testing.T) {
	for _, ends := range []string{"\n", "\r\n"} {
		g := launch(t, openConfig())
		body := `{"channel":"room:1","data":{"n":1}}` + ends + "{\"channel\":\"room:1\",\"data\":[\r2,\r\r3]}" + ends
		if a := g.ask("POST", "/v1/publish", body, "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson"); a.StatusCode != 200 {
			t.Fatal(a.Status, a.body)
		}
		h := g.api(200, "GET", "/v1/channels/room:1/history", "")
		if strings.ContainsAny(h.body, "\r\n") || !strings.Contains(h.body, `"data":{"n":1}}`) || !strings.Contains(h.body, `"data":[ 2,  3]}`) {
			t.Errorf("%q", h.body)
		}
	}
}
