package relay

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"weir/relay/jsonbody"
)

func TestDecodeObject(t *testing.T) {
	type inner struct {
		N int `json:"n"`
	}
	type body struct {
		Name  string          `json:"name"`
		List  []string        `json:"list"`
		Count *int            `json:"count"`
		Rate  float64         `json:"rate"`
		On    bool            `json:"on"`
		In    inner           `json:"in"`
		Any   json.RawMessage `json:"any"`
	}
	for _, tt := range []struct{ in, want string }{
		{`{"name":"a","more":[1,{"x":2}]}`, ""},
		{` {} `, ""},
		{``, "invalid_json: Invalid message format"},
		{`{`, "invalid_json: Invalid message format"},
		{`{"name":"a"} x`, "invalid_json: Invalid message format"},
		{"{\"name\":\"\xff\"}", "invalid_json: Invalid message format"},
		{strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "invalid_json: the JSON is nested too deeply"},
		{`[]`, "bad_request: expected a JSON object"},
		{`"x"`, "bad_request: expected a JSON object"},
		{`null`, "bad_request: expected a JSON object"},
		{`{"name":"a","name":"b"}`, "bad_request: name is given twice"},
		{`{"name":5}`, "bad_request: name must be a string"},
		{`{"list":"x"}`, "bad_request: list must be a list"},
		{`{"list":["a",1]}`, "bad_request: list must be a string"},
		{`{"count":"1"}`, "bad_request: count must be a whole number"},
		{`{"count":1.5}`, "bad_request: count must be a whole number"},
		{`{"rate":true}`, "bad_request: rate must be a number"},
		{`{"on":0}`, "bad_request: on must be true or false"},
		{`{"in":[]}`, "bad_request: in must be an object"},
		{`{"in":{"n":"x"}}`, "bad_request: in.n must be a whole number"},
	} {
		var b body
		err := jsonbody.Decode([]byte(tt.in), &b)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%s: %v, want %s", tt.in, err, tt.want)
		}
	}
	var b body
	if err := jsonbody.Decode([]byte(`{"NAME":"x"}`), &b); err != nil || b.Name != "" {
		t.Errorf("the case of a name matters: %v %q", err, b.Name)
	}
	raw := []byte(`{"name":"hello","list":["one"],"any":{"k":"v"}}`)
	if err := jsonbody.Decode(raw, &b); err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] = '#'
	}
	if b.Name != "hello" || b.List[0] != "one" || string(b.Any) != `{"k":"v"}` {
		t.Errorf("what was read shares memory with the request: %+v", b)
	}
}
