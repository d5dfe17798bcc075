package encode_test

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"weir/relay/systems/internal/encode"
)

func TestObject(t *testing.T) {
	list := func(b []byte) []byte {
		return encode.List(b, []int{1, 2}, func(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) })
	}
	for want, got := range map[string][]byte{
		`{"a":"\u003cb\"","n":-3,"u":7,"t":true}`: encode.Object("a", `<b"`, "n", -3, "u", uint64(7), "t", true),
		`{"x":0.5,"e":1e+15,"i":null,"\"":1}`:     encode.Object("x", 0.5, "e", 1e15, "i", math.Inf(1), `"`, 1),
		`{"at":5,"raw":{},"list":[1,2]}`:          encode.Object("at", int64(5), "raw", []byte("{}"), "list", list),
		`{"z":"x"}`:                               encode.Object("id", []byte(nil), "no", encode.Maybe(""), "z", encode.Maybe("x")),
		`{"in":{"a":1,"b":2`:                      encode.Members([]byte(`{"in":{`), "a", 1, "b", 2),
		`{"html":"<&>"}`:                          encode.Line(map[string]string{"html": "<&>"}),
	} {
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if !json.Valid(encode.Object("a", "\xff\n")) {
		t.Error("a string that is not UTF-8 makes JSON that is not valid")
	}
}

func TestObjectAllocatesOnlyItsBytes(t *testing.T) {
	b, name, raw := make([]byte, 0, 256), strconv.Itoa(1<<30), []byte("{}")
	content := func(b []byte) []byte { return append(b, name...) }
	if n := testing.AllocsPerRun(100, func() {
		encode.Members(b[:0], "a", name, "n", len(name), "u", uint64(len(name))<<40, "f", content, "raw", raw)
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestMembersRefusesWhatItDoesNotKnow(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a struct was encoded")
		}
	}()
	encode.Object("a", struct{}{})
}
