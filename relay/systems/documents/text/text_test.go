package text_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"weir/relay/systems/documents/text"
)

// vector is a case that the reference implementation's own fuzzer made.
type vector struct {
	F     string          `json:"f"`
	S     string          `json:"s"`
	Op    json.RawMessage `json:"op"`
	Other json.RawMessage `json:"o"`
	A     json.RawMessage `json:"a"`
	B     json.RawMessage `json:"b"`
	Side  string          `json:"side"`
	R     json.RawMessage `json:"r"`
}

func parse(t testing.TB, b []byte) text.Op {
	t.Helper()
	op, err := text.Parse(b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return op
}

func vectors(t testing.TB, f func(v vector)) {
	t.Helper()
	file, err := os.Open("testdata/text-unicode.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		f(v)
		n++
	}
	if lines.Err() != nil || n != 6548 {
		t.Fatalf("%d cases, %v", n, lines.Err())
	}
}

func TestVectors(t *testing.T) {
	vectors(t, func(v vector) {
		var got string
		switch v.F {
		case "apply":
			var want string
			if err := json.Unmarshal(v.R, &want); err != nil {
				t.Fatal(err)
			}
			op := parse(t, v.Op)
			b := text.NewBuffer(v.S)
			if err := b.Apply(op); err != nil {
				t.Fatalf("%q %s: %v", v.S, v.Op, err)
			}
			if b.String() != want || op.String() != string(v.Op) {
				t.Fatalf("%q %s: got %q, want %q; what was deleted: %s", v.S, v.Op, b.String(), want, op)
			}
			if err := b.Apply(op.Invert()); err != nil || b.String() != v.S {
				t.Fatalf("%q %s taken back: %q %v", v.S, v.Op, b.String(), err)
			}
			return
		case "transform":
			side := text.Left
			if v.Side == "right" {
				side = text.Right
			}
			got = text.Transform(parse(t, v.Op), parse(t, v.Other), side).String()
		case "compose":
			got = text.Compose(parse(t, v.A), parse(t, v.B)).String()
		default:
			t.Fatalf("unknown case %q", v.F)
		}
		if got != string(v.R) {
			t.Fatalf("%s %s%s %s%s %s: got %s, want %s", v.F, v.Op, v.A, v.Other, v.B, v.Side, got, v.R)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		`1`, `{}`, `[1`, `[]]`, `[-1,"x"]`, `[0,"x"]`, `[1.5,"x"]`, `[1e3,"x"]`, `["x",5]`, `[5]`, `[1,2,"x"]`, `["a","b"]`,
		`[{"d":1},{"d":"x"}]`, `[""]`, `[{"d":0}]`, `[{"d":-1}]`, `[{"d":""}]`, `[{}]`, `[{"e":1}]`, `[{"d":1,"e":1}]`, `[{"d":1,"d":1}]`,
		`[null]`, `[true]`, `[[1]]`, `[{"d":null}]`, `[{"d":[1]}]`, `[99999999999999999999,"x"]`, `[1073741825,"x"]`,
		`["\ud83d"]`, `["\ude05x"]`, `["\ud83d\ud83d"]`, `["a\ud83dA"]`, `[{"d":"\ud83d"}]`,
		"[\"\xff\"]", "[\"\x01\"]",
		"[" + strings.Repeat(`1,"x",`, text.MaxComponents/2) + `{"d":1}]`,
	} {
		if op, err := text.Parse([]byte(s)); !errors.Is(err, text.ErrOp) {
			t.Errorf("%.60s: %v, %v", s, op, err)
		}
	}
	for _, s := range []string{`[]`, `["x"]`, ` [ 1 , "x" , { "d" : 2 } ] `, `["\ud83d\ude05"]`, `["\\ud83d"]`, `[{"d":"abc"},"x"]`} {
		if _, err := text.Parse([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestApplyBeyondTheEnd(t *testing.T) {
	for _, s := range []string{`[4,"x"]`, `[{"d":4}]`, `[2,{"d":2}]`, `[1,"x",3,"y"]`} {
		b := text.NewBuffer("a😅b")
		if err := b.Apply(parse(t, []byte(s))); !errors.Is(err, text.ErrRange) || b.String() != "a😅b" {
			t.Errorf("%s: %v, %q", s, err, b.String())
		}
	}
}

func TestMove(t *testing.T) {
	for _, tt := range []struct {
		op     string
		cursor int
		want   int
		end    int
	}{
		{`["ab"]`, 0, 0, 2},
		{`["ab"]`, 1, 3, 2},
		{`[3,"ab"]`, 3, 3, 5},
		{`[3,"ab"]`, 4, 6, 5},
		{`[1,{"d":2}]`, 0, 0, 1},
		{`[1,{"d":2}]`, 2, 1, 1},
		{`[1,{"d":2}]`, 9, 7, 1},
		{`["😅",2,{"d":3},"x"]`, 4, 3, 4},
		{`[]`, 7, 7, 0},
	} {
		op := parse(t, []byte(tt.op))
		if got := op.Move(tt.cursor); got != tt.want || op.End() != tt.end {
			t.Errorf("%s over %d: %d, want %d; end %d", tt.op, tt.cursor, got, tt.want, op.End())
		}
	}
}
