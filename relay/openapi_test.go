package relay

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"weir/relay/web"
)

// apiDoc is the OpenAPI document, or a part of it.
type apiDoc map[string]any

// readDoc reads the document, with what it refers to in place of the references.
func readDoc(t *testing.T) apiDoc {
	t.Helper()
	b, err := yaml.YAMLToJSON(web.File("openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var d apiDoc
	unmarshal(t, string(b), &d)
	return d.inline(map[string]any(d)).(map[string]any)
}

// inline is a part of the document without references. Members beside a reference count too.
func (d apiDoc) inline(v any) any {
	switch v := v.(type) {
	case []any:
		var out []any
		for _, one := range v {
			out = append(out, d.inline(one))
		}
		return out
	case map[string]any:
		out := make(map[string]any)
		if ref, ok := v["$ref"].(string); ok {
			target := d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			if target == nil {
				panic("nothing at " + ref)
			}
			maps.Copy(out, d.inline(map[string]any(target)).(map[string]any))
		}
		for key, one := range v {
			if key != "$ref" {
				out[key] = d.inline(one)
			}
		}
		return out
	}
	return v
}

// at is the part of the document that a path of keys leads to; nil if there is none.
func (d apiDoc) at(keys ...string) apiDoc {
	for _, key := range keys {
		d, _ = d[key].(map[string]any)
	}
	return d
}

// check says in what a value does not follow a schema.
func (d apiDoc) check(v any, where string) error {
	wrong := func(what string) error { return fmt.Errorf("%s: %v is not %s", where, v, what) }
	for _, all := range list(d["allOf"]) {
		if err := all.check(v, where); err != nil {
			return err
		}
	}
	if anyOf := list(d["anyOf"]); anyOf != nil && !slices.ContainsFunc(anyOf, func(s apiDoc) bool { return s.check(v, where) == nil }) {
		return wrong("any of those")
	}
	if want, ok := d["const"]; ok && v != want {
		return wrong(fmt.Sprint(want))
	}
	if enum, ok := d["enum"].([]any); ok && !slices.Contains(enum, v) {
		return wrong(fmt.Sprint("one of ", enum))
	}
	kinds := map[string]bool{"": true}
	switch x := v.(type) {
	case map[string]any:
		kinds["object"] = true
		return d.checkObject(x, where, kinds)
	case []any:
		kinds["array"] = true
		for i, one := range x {
			if err := d.at("items").check(one, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	case string:
		kinds["string"] = true
		n := float64(utf8.RuneCountInString(x))
		if most, ok := d["maxLength"].(float64); ok && n > most {
			return wrong("short enough")
		}
		if least, ok := d["minLength"].(float64); ok && n < least {
			return wrong("long enough")
		}
		if p, ok := d["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(x) {
			return wrong("like " + p)
		}
	case float64:
		kinds["number"], kinds["integer"] = true, x == float64(int64(x))
		if least, ok := d["minimum"].(float64); ok && x < least {
			return wrong("large enough")
		}
		if most, ok := d["maximum"].(float64); ok && x > most {
			return wrong("small enough")
		}
	case bool:
		kinds["boolean"] = true
	}
	if kind, _ := d["type"].(string); !kinds[kind] {
		return wrong(kind)
	}
	return nil
}

func (d apiDoc) checkObject(x map[string]any, where string, kinds map[string]bool) error {
	if kind, _ := d["type"].(string); !kinds[kind] {
		return fmt.Errorf("%s: an object is not %s", where, kind)
	}
	required, _ := d["required"].([]any)
	for _, name := range required {
		if _, ok := x[name.(string)]; !ok {
			return fmt.Errorf("%s: %v is missing", where, name)
		}
	}
	properties, _ := d["properties"].(map[string]any)
	for name, one := range x {
		s, known := properties[name].(map[string]any)
		if !known {
			s, known = d["additionalProperties"].(map[string]any)
		}
		if !known {
			if properties != nil && d["allOf"] == nil && where[0] == '<' { // what the relay says is all described
				return fmt.Errorf("%s: %s is not described", where, name)
			}
			continue
		}
		if err := apiDoc(s).check(one, where+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func list(v any) []apiDoc {
	var out []apiDoc
	all, _ := v.([]any)
	for _, one := range all {
		out = append(out, one.(map[string]any))
	}
	return out
}

// operations calls f with every operation of the document.
func (d apiDoc) operations(f func(method, path string, op apiDoc)) {
	paths := d.at("paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range []string{"get", "put", "post", "delete", "patch"} {
			if op, ok := paths[path].(map[string]any)[method].(map[string]any); ok {
				f(strings.ToUpper(method), path, op)
			}
		}
	}
}

// The document describes the relay's own routes for backends. Those of systems are held against it where the
// program is put together.
func TestOpenAPIRoutes(t *testing.T) {
	d := readDoc(t)
	g := open(t)
	var have, described []string
	for _, r := range g.relay.api.Backends() {
		have = append(have, r.Method+" "+r.Path)
	}
	have = append(have, "GET /v1/openapi.yaml")
	slices.Sort(have)
	ids := make(map[any]bool)
	d.operations(func(method, path string, op apiDoc) {
		if slices.Contains(have, method+" "+path) {
			described = append(described, method+" "+path)
		}
		if id := op["operationId"]; id == nil || ids[id] {
			t.Errorf("%s %s: operationId %v", method, path, id)
		} else {
			ids[id] = true
		}
		var params []string
		for _, p := range list(d.at("paths", path)["parameters"]) {
			if p["in"] == "path" {
				params = append(params, "{"+p["name"].(string)+"}")
			}
		}
		if want := regexp.MustCompile(`{\w+}`).FindAllString(path, -1); !slices.Equal(params, want) {
			t.Errorf("%s %s: parameters %v", method, path, params)
		}
	})
	slices.Sort(described)
	if !slices.Equal(have, described) {
		t.Errorf("routes\n%s\ndescribed\n%s", strings.Join(have, "\n"), strings.Join(described, "\n"))
	}
}

// The examples are what the relay takes and says: they follow the schemas, requests are accepted, and
// what is answered is described, errors included.
func TestOpenAPIExamples(t *testing.T) {
	d := readDoc(t)
	g := open(t)
	answer := func(method, path, target string, op apiDoc, body, kind string) {
		t.Helper()
		lines := []string{"Authorization: Bearer " + apiKey}
		if kind != "" {
			lines = append(lines, "Content-Type: "+kind)
		}
		a := g.ask(method, target, body, lines...)
		got, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
		schema := d.at("paths", path, strings.ToLower(method), "responses", fmt.Sprint(a.StatusCode), "content", got, "schema")
		if schema == nil {
			t.Errorf("%s %s: %s %s is not described: %s", method, target, a.Status, got, a.body)
			return
		}
		each := []string{a.body}
		if lines := schema.at("contentSchema"); lines != nil {
			schema, each = lines, strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
		} else if got == "application/yaml" {
			return
		}
		for _, one := range each {
			var v any
			unmarshal(t, one, &v)
			if err := schema.check(v, "<"+method+" "+target+">"); err != nil {
				t.Error(err)
			}
		}
	}
	names := strings.NewReplacer("{channel}", "room:42", "{group}", "messages", "{key}", "m1")
	var own []string
	for _, r := range g.relay.api.Backends() {
		own = append(own, r.Method+" "+r.Path)
	}
	d.operations(func(method, path string, op apiDoc) {
		if !slices.Contains(own, method+" "+path) {
			return // a system's
		}
		g.post(`"channel":"room:42","group":"messages","key":"m1","data":{"text":"hello"}`)
		g.post(`"channel":"room:42","data":null`)
		bodies := d.at("paths", path, strings.ToLower(method), "requestBody", "content")
		for _, kind := range slices.Sorted(maps.Keys(bodies)) {
			media := bodies.at(kind)
			for _, example := range media.at("examples") {
				value := example.(map[string]any)["value"]
				body, isText := value.(string)
				if !isText {
					if err := media.at("schema").check(value, path); err != nil {
						t.Error(err)
					}
					b, _ := json.Marshal(value) // it was JSON
					body = string(b)
				}
				answer(method, path, path, op, body, kind)
			}
			answer(method, path, path, op, `{"`, "application/json")
		}
		for status := range d.at("paths", path, strings.ToLower(method), "responses") {
			content := d.at("paths", path, strings.ToLower(method), "responses", status, "content")
			for kind := range content {
				for name, example := range content.at(kind, "examples") {
					value := example.(map[string]any)["value"]
					if err := content.at(kind, "schema").check(value, "<example "+name+" of "+status+" of "+path+">"); err != nil {
						t.Error(kind, err)
					}
				}
			}
		}
		if bodies == nil {
			answer(method, path, names.Replace(path), op, "", "")
			answer(method, path, names.Replace(strings.Replace(path, "{channel}", ".bad", 1)), op, "", "")
			answer(method, path, names.Replace(strings.Replace(path, "{channel}", "none", 1)), op, "", "")
		}
	})
	c := g.client("u1") // what only shows with somebody there
	c.subscribe("room:42", "")
	answer("GET", "/v1/channels/{channel}/presence", "/v1/channels/room:42/presence", nil, "", "")
	answer("GET", "/v1/channels/{channel}/presence", "/v1/channels/room:42/presence?count", nil, "", "")
	answer("GET", "/v1/channels", "/v1/channels?limit=1", nil, "", "")
	answer("GET", "/v1/channels", "/v1/channels?limit=x", nil, "", "")
	answer("POST", "/v1/publish", "/v1/publish", nil, `{"channel":"a","data":"`+strings.Repeat("x", 65<<10)+`"}`, "")
	answer("POST", "/v1/publish", "/v1/publish", nil, `{}`, "application/xml")
}

// The codes of errors are those that the source knows.
func TestOpenAPICodes(t *testing.T) {
	files, err := filepath.Glob("problem/*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`&Error{\d+, "(\w+)"`).FindAllStringSubmatch(string(b), -1) {
			codes[m[1]] = true
		}
	}
	var described []string
	for _, code := range readDoc(t).at("components", "schemas", "Code")["enum"].([]any) {
		described = append(described, code.(string))
	}
	slices.Sort(described)
	if known := slices.Sorted(maps.Keys(codes)); !slices.Equal(described, known) || len(known) == 0 {
		t.Errorf("codes %v, described %v", known, described)
	}
}
