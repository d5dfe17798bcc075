package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

var values = []string{
	`"a\x"`, `"\u12"`, `"\uZZZZ"`, `"\u00e9"`, `01`, `-`, `1.`, `1e`, `.5`, `+1`, `-0`, `0.5e-3`, `1E+9`, `tru`, `true`, `null`, `nul`,
	`{"a":1,}`, `[1,]`, `[,]`, `{"a" 1}`, `{a:1}`, `{"a":{"b":[{}]}}`, "\"\x01\"", "\"\xff\"", "\"\xed\xa0\x80\"", `1 2`, `[`, `{}`, `[]`, ``, ` `,
	`"\ud800"`, `NaN`, `1e999999`, `[1}`, `{"a":1 "b":2}`, `"a"b`, `{"a":1}}`, " { \"a\" :\n[ 1 , \"x\" ] } ", `"日本語と絵文字 😅"`,
	`"eight by eight by eight\\"`, `"1234567\"`, "\"tab\there\"", "\"\x7f\"", `{"a":"b","a":"c"}`, `"é"`, "\"\x1f234567\"", `"   !   !"`,
}

func TestValidJSON(t *testing.T) {
	for _, s := range values {
		want := json.Valid([]byte(s)) && utf8.ValidString(s)
		if got := ValidJSON([]byte(s)); (got == nil) != want {
			t.Errorf("ValidJSON(%q) = %v, want valid %v", s, got, want)
		}
	}
}

func TestDepth(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := ValidJSON(deep(maxDepth)); err != nil {
		t.Errorf("depth %d: %v", maxDepth, err)
	}
	if err := ValidJSON(deep(maxDepth + 1)); !errors.Is(err, ErrDepth) {
		t.Errorf("depth %d: %v, want ErrDepth", maxDepth+1, err)
	}
	if err := ValidJSON([]byte(strings.Repeat("[", 1<<20))); !errors.Is(err, ErrDepth) {
		t.Errorf("a million brackets: %v, want ErrDepth", err)
	}
}

// FuzzJSON holds the scanner against the standard library's and demands that a command never gets past
// what that refuses.
func FuzzJSON(f *testing.F) {
	for _, s := range values {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"type":"publish","id":1,"channel":"a","data":{"x":[1,2]},"position":{"epoch":"e","seq":3},"groups":["g"],"ttl":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := ValidJSON(b)
		if want := json.Valid(b) && utf8.Valid(b); (err == nil) != want && !errors.Is(err, ErrDepth) {
			t.Fatalf("ValidJSON(%q) = %v, want valid %v", b, err, want)
		}
		var c Command
		if c.Parse(bytes.Clone(b)) == nil && err != nil {
			t.Fatalf("Parse accepted %q", b)
		}
		_ = Elements(bytes.Clone(b), func(v []byte) error {
			if !json.Valid(v) {
				t.Fatalf("element %q of %q", v, b)
			}
			return nil
		})
	})
}

func TestParse(t *testing.T) {
	var c Command
	msg := `{"type":"publish","id":"a1","channel":"room:1","op":"set","group":"g","key":"k","data":{"a":
1},"ttl":400,"idempotencyKey":"i","exclude":"x","position":{"epoch":"e","seq":7},"groups":["g","h"],"unknown":[null],"limit":5,"before":9,"count":true}`
	if err := c.Parse([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	if c.Type != "publish" || string(c.ID) != `"a1"` || c.Channel != "room:1" || c.Op != "set" || c.Group != "g" || c.Key != "k" ||
		string(c.Data) != `{"a": 1}` || c.TTL != 400 || c.IdempotencyKey != "i" || c.Exclude != "x" || !c.HasPosition || c.Epoch != "e" ||
		c.Seq != 7 || len(c.Groups) != 2 || c.Limit != 5 || c.Before != 9 || !c.Count {
		t.Errorf("parsed %+v", c)
	}
	if err := c.Parse([]byte(`{"cha\u006enel":"x"}`)); err != nil || c.Channel != "x" {
		t.Errorf("an escaped key: %v %q", err, c.Channel)
	}
	for _, bad := range []string{
		`{"channel":1}`, `{"channel":"a","channel":"b"}`, `{"id":{}}`, `{"id":"` + strings.Repeat("x", 64) + `"}`,
		`{"ttl":-1}`, `{"ttl":1.5}`, `{"ttl":99999999999999999999}`, `{"position":{"seq":1}}`, `{"position":[]}`, `{"position":{"epoch":"e","seq":-1}}`,
		`{"groups":"g"}`, `{"groups":["a b"]}`, `{"limit":"5"}`, `{"count":1e1}`, `{"content":5}`,
	} {
		if err := c.Parse([]byte(bad)); !errors.Is(err, ErrField) {
			t.Errorf("Parse(%s) = %v, want ErrField", bad, err)
		}
	}
	if err := c.Parse([]byte(`{"type":"publish","ttl":-1,"limit":"x","id":7}`)); !errors.Is(err, ErrField) || string(c.ID) != "7" || !strings.Contains(err.Error(), "ttl") {
		t.Errorf("an id behind what is wrong: %v, id %s", err, c.ID)
	}
	for bad, want := range map[string]string{
		`{"ttl":"5"}`: "ttl must be a whole number of ms, 0 or more", `{"key":7}`: "key must be a string", `{"count":"x"}`: "count must be true or false",
		`{"limit":1.5}`: "limit must be a whole number", `{"groups":"g"}`: "groups must be a list of up to 16 names",
		`{"position":{"epoch":"e"}}`: `position must be an object of "epoch", a string, and "seq", a whole number`,
		`{"op":"set","op":"set"}`:    "duplicate member op", ` [{}]`: "expected a JSON object, at byte 1", ` `: "no data: expected a JSON object, at byte 1",
	} {
		if err := c.Parse([]byte(bad)); err == nil || err.Error() != want {
			t.Errorf("Parse(%s) = %v, want %s", bad, err, want)
		}
	}
	for _, bad := range []string{``, `[]`, `{`, `"x"`, `{"type":"ping"} x`, `{"data":"` + "\x01" + `"}`} {
		if err := c.Parse([]byte(bad)); !errors.Is(err, ErrJSON) {
			t.Errorf("Parse(%q) = %v, want ErrJSON", bad, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"128", 60}, {"1024", 956}} {
		msg := []byte(`{"channel":"bench:1","data":{"n":12345,"text":"` + strings.Repeat("x", size.n) + `"}}`)
		b.Run("size="+size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			var c Command
			for b.Loop() {
				if err := c.Parse(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestParseAllocates(t *testing.T) {
	msg := []byte(`{"type":"publish","channel":"bench:1","data":{"n":1},"position":{"epoch":"e","seq":3}}`)
	var c Command
	if n := testing.AllocsPerRun(100, func() { _ = c.Parse(msg) }); n != 0 {
		t.Errorf("%v allocations a command, want 0", n)
	}
}
