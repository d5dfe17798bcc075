package protocol_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"weir/loadtest/protocol"
)

// parse reads a description and compiles it.
func parse(text string) (*protocol.Compiled, error) {
	var p protocol.Protocol
	if err := yaml.UnmarshalWithOptions([]byte(text), &p, yaml.Strict()); err != nil {
		return nil, err
	}
	return p.Compile(p.Path, p.Publish.URL)
}

const publishes = "\npublish: {body: '{{payload}}'}"

func TestWrongDescriptionsSayWhere(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(rows, []byte("name,bad\nann,\"a\nb\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"publish: {}":                                                   "target.publish: without body and send",
		"stream: tcp" + publishes:                                       "target.stream: tcp: expected websocket or events",
		"open: [{}]" + publishes:                                        "target.open[0]: empty: expected send or expect",
		"open: [{send: 'x', keep: {a: b}}]" + publishes:                 "target.open[0].keep: given: expected expect beside it",
		"open: [{send: '{{chanel}}'}]" + publishes:                      `target.open[0].send: "{{chanel}}": no variable "chanel": expected one of channel,`,
		"open: [{send: '{{channel'}]" + publishes:                       "{{ without }}",
		"open: [{send: '{{channel|html}}'}]" + publishes:                "expected raw, json, url or base64",
		"open: [{send: '{{payload}}'}]" + publishes:                     "{{payload}} has no value there",
		"publish: {body: '{{token}}'}":                                  "{{token}} has no value there",
		"topic: '{{user}}'" + publishes:                                 "target.topic",
		"refused: [{}]" + publishes:                                     "target.refused[0]: empty",
		"answer: [{send: x}]" + publishes:                               "target.answer[0].when: empty",
		"answer: [{when: {text: x}}]" + publishes:                       "target.answer[0].send",
		"heartbeat: {every: 1ms, send: x}" + publishes:                  "target.heartbeat",
		"message: {data: a, id: b}" + publishes:                         "either data, or id and stamp",
		"message: {stamp: a}" + publishes:                               "expected id beside it",
		"message: {data: 'a[x'}" + publishes:                            `path "a[x"`,
		"message: {data: 'a..b'}" + publishes:                           `path "a..b"`,
		"message: {match: {a: [1]}}" + publishes:                        "expected a text, a number, true, false or null",
		"message: {offset: -1}" + publishes:                             "target.message.offset",
		"headers: {Host: x}" + publishes:                                "set by the load tester",
		"headers: {'a b': x}" + publishes:                               "a header's name",
		"vars: {channel: x}" + publishes:                                "target.vars.channel",
		"publish: {send: x, body: y}":                                   "either send",
		"publish: {body: x, item: y}":                                   "item and {{items}} in body, or neither",
		"publish: {body: '{{items}}', item: y, url: '/{{channel}}'}":    "messages of one request have several channels",
		"publish: {body: x, batch: 2}":                                  "target.publish.batch",
		"publish: {body: x, status: [20]}":                              "target.publish.status",
		"publish: {body: x, open: [{send: y}]}":                         "target.publish.open",
		"stream: events\nopen: [{send: x}]" + publishes:                 "nothing can be sent on an event stream",
		"open: [{send: '{{row.name}}'}]" + publishes:                    "target.rows: not given",
		"rows: /nowhere/x.csv" + publishes:                              "/nowhere/x.csv",
		"rows: " + rows + "\nopen: [{send: '{{row.age}}'}]" + publishes: `expected "age" in row 1`,
		"rows: " + rows + "\nheaders: {X: '{{row.bad}}'}" + publishes:   "to be one line",
		"opne: []" + publishes:                                          "opne",
		"use: phoenix\nmessage: {data: 'x['}":                           `path "x["`,
	}
	for text, want := range tests {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s", text, err, want)
		}
	}
	if _, err := parse("publish: {}"); !errors.Is(err, protocol.ErrInvalid) {
		t.Error(err)
	}
}

// The keys of a file change those of the preset that it uses, and leave the others.
func TestUseTakesOverAPreset(t *testing.T) {
	var p protocol.Protocol
	if err := yaml.UnmarshalWithOptions([]byte("use: socket.io\nvars: {message: chat}\npath: /io"), &p, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if p.Vars["message"] != "chat" || p.Vars["publish"] != "publish" || p.Path != "/io" || len(p.Open) != 3 || p.Use != "socket.io" {
		t.Errorf("%+v", p)
	}
	if err := yaml.Unmarshal([]byte("phoenix"), &p); err != nil || p.Heartbeat == nil || p.Use != "phoenix" {
		t.Error(err, p)
	}
}

func TestVariablesAreWrittenAsTheirPlaceWants(t *testing.T) {
	v := &protocol.Values{Channel: `a"b/é`, Payload: []byte(`{"x":"y"}`), Topic: `{"r":"a"}`, Received: []byte(`{"a":["q\"",{"n":5}]}`)}
	row := map[string]string{"name": `o"k`}
	rows := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(rows, []byte(`{"name":"o\"k"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"c":"{{channel}}","d":{{payload}}}`:      `{"c":"a\"b/é","d":{"x":"y"}}`,
		`{"d":"{{payload}}"}`:                      `{"d":"{\"x\":\"y\"}"}`,
		`{"d":"{\"p\":\"{{channel|json}}\"}"}`:     `{"d":"{\"p\":\"a\\\"b/é\"}"}`,
		`{{channel|url}} {{ channel | base64 }}`:   `a%22b%2F%C3%A9 YSJiL8Op`,
		`"{{channel|raw}}"`:                        `"a"b/é"`,
		`["{{row.name}}"]`:                         `["o\"k"]`,
		`{"id":"{{id}}","at":{{stamp}},"{{own}}"}`: `{"id":"","at":0,"v\""}`,
	} {
		c, err := parse("rows: " + rows + "\nvars: {own: 'v\"'}\npublish: {body: '" + text + "'}")
		if err != nil {
			t.Error(err)
			continue
		}
		if got := string(c.Publish.Body.Append(nil, v, row)); got != want {
			t.Errorf("%s: %s, expected %s", text, got, want)
		}
		if c.Row(3)["name"] != `o"k` {
			t.Error(c.Row(3))
		}
	}
	c, err := parse(`answer: [{when: {text: x}, send: '{"a":{{received.a[1].n}},"b":"{{received.a[0]}}","c":{{received.a[0]}}}'}]` + publishes)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Answer[0].Send.Append(nil, v, nil)); got != `{"a":5,"b":"q\"","c":"q\""}` {
		t.Error(got)
	}
}

func TestPathsFindValues(t *testing.T) {
	msg := `{"a":[1,{"b c":"x"}],"t":"{\"in\":{\"deep\":\"[5]\"}}","n":null}`
	for path, want := range map[string]string{
		"": msg, "a[0]": "1", "$.a[1][\"b c\"]": `"x"`, "t.in.deep[0]": "5", "t.in": `{"deep":"[5]"}`, "n": "null", "a[2]": "-", "x.y": "-", "a[0].b": "-", "t.out": "-",
	} {
		p, err := protocol.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.Get([]byte(msg))
		if !ok {
			got = []byte("-")
		}
		if string(got) != want {
			t.Errorf("%s: %s, expected %s", path, got, want)
		}
	}
	path, ok := protocol.Find([]byte(msg), func(raw []byte) bool { return string(raw) == `"x"` })
	if !ok || path != `a[1]["b c"]` {
		t.Error(path)
	}
	if path, ok = protocol.Find([]byte(msg), func(raw []byte) bool { return string(raw) == "5" }); !ok || path != "t.in.deep[0]" {
		t.Error(path)
	}
}

func FuzzPath(f *testing.F) {
	f.Add("a[1].b", `{"a":[0,{"b":"{}"}]}`)
	f.Add(`t.x`, `{"t":"\"{\\\"x\\\":1}\""}`)
	f.Fuzz(func(_ *testing.T, path, msg string) {
		if p, err := protocol.ParsePath(path); err == nil {
			p.Get([]byte(msg)) // does not panic
		}
	})
}
