package feed

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"weir/broker"
	"weir/internal/wire"
)

// FuzzItem holds what is accepted of a backend against what an event stream can carry: one event, one line each,
// and what is kept is what was posted.
func FuzzItem(f *testing.F) {
	for _, seed := range []string{
		`{"type":"post","data":{"n":1},"id":"x"}`, `{"type":"a\n","data":1}`, `{"type":"a","data":1,"id":7}`,
		`{"type":"a","data":"\u2028","id":"\u0085"}`, "{\"type\":\"a\",\"data\":[\n1]}", `{"type":"é","id":"\ud800","data":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		it, err := parse(body)
		if err != nil {
			return
		}
		if it.ID == "" {
			it.ID = "1"
		}
		kept := it.append(nil)
		if wire.ValidJSON(kept) != nil {
			t.Fatalf("%s is not JSON", kept)
		}
		event, id := appendItem(nil, &broker.ChangeView{Op: broker.Send, Data: kept})
		if id != it.ID || !utf8.Valid(event) || strings.ContainsAny(id, "\r\n\x00") {
			t.Fatalf("%q became %q", it.ID, id)
		}
		want := "event: " + it.Type + "\ndata: " + string(it.Data) + "\n"
		if string(event) != want || bytes.Count(event, []byte("\n")) != 2 || bytes.ContainsRune(event, '\r') {
			t.Fatalf("%q, not %q", event, want)
		}
	})
}
