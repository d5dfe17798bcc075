package hooks_test

import "testing"

// TestTraceparent: the trace that a client's publication belongs to goes along with the question about it, also while nothing is traced here; what is
// none does not.
func TestTraceparent(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	b := newBackend(t, routes("", map[string]func(q *question) (int, string){
		"/publish": func(*question) (int, string) { return 200, `{"allow":true}` },
	}))
	g := start(t, b, nil)
	for _, sent := range []string{parent, "none", ""} {
		body := `{"type":"publish","channel":"asked:a","data":1,"traceparent":"` + sent + `"}`
		if status, _, out := g.Do("POST", "/command", body, "Cookie: session=ann", "Origin: "+origin); status != 200 {
			t.Fatal(status, out)
		}
	}
	asked := b.questions("/weir/publish")
	if len(asked) != 3 {
		t.Fatal(len(asked))
	}
	for i, want := range []string{parent, "", ""} {
		if got := asked[i].header.Get("traceparent"); got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
	}
}
