package protocol

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Values is what the variables of a template stand for.
type Values struct {
	Channel, Topic, User, Token string
	Key                         string
	Number                      int               // of the client or message, from 0
	Ref                         uint64            // counts the messages that were sent
	Payload                     []byte            // of the message that is published
	ID                          string            // likewise
	Stamp                       int64             // likewise
	Items                       []byte            // several messages
	Kept                        map[string]string // of the connection
	Received                    []byte            // JSON of the message that is answered
}

// scope is where a template stands: which variables have a value there.
type scope uint8

const (
	inClient  scope = 1 << iota // what a client sends
	inAnswer                    // what it sends back
	inPublish                   // what is published
	inBody                      // a request's body
	inTopic                     // the name of a channel
	anywhere  = inClient | inAnswer | inPublish | inBody
)

// Variable is a variable with a meaning of its own.
type Variable struct {
	Name  string
	About string
	scope scope
}

// Variables are those that every file has.
func Variables() []Variable {
	return []Variable{
		{"channel", "name of the channel", anywhere | inTopic},
		{"topic", "what the server calls it: see topic", anywhere},
		{"user", "name of the user: u0, u1 and so on", inClient | inAnswer},
		{"token", "token of the user", inClient | inAnswer},
		{"key", "what publishers authenticate with (--key)", anywhere},
		{"number", "number of the client, or in publish of the message, from 0", anywhere},
		{"ref", "a number that is another in each message that is sent", anywhere},
		{"payload", "the message's payload, a JSON object", inPublish},
		{"id", "names the message, as a text", inPublish},
		{"stamp", "when the message was due, in ns", inPublish},
		{"items", "several messages: see item", inBody},
		{"row.NAME", "column or member NAME of a row: see rows", anywhere},
		{"received.PATH", "value at PATH of the message that is answered", inAnswer},
	}
}

// escape is how the values of variables are written where nothing else is said.
type escape uint8

// The kinds of escape.
const (
	asMessage escape = iota // inside a JSON text: as part of it; elsewhere as they are
	asURL                   // percent-encoded
	asHeader                // as they are
)

// Template is a text with variables.
type Template struct {
	text  string
	parts []part
}

// part is literal text and the variable that follows it.
type part struct {
	literal string
	name    string // empty at the end
	path    Path   // of received
	escapes []string
}

// Text is the template as it was written.
func (t *Template) Text() string { return t.text }

// Uses reports whether the template has one of the variables.
func (t *Template) Uses(names ...string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return slices.Contains(names, p.name) })
}

// rows are the columns that the template has.
func (t *Template) rows() (names []string) {
	for _, p := range t.parts {
		if name, ok := strings.CutPrefix(p.name, "row."); ok {
			names = append(names, name)
		}
	}
	return names
}

// template reads a text. vars are the variables with constant values, kept the names of others.
func template(text string, how escape, in scope, vars map[string]string, kept []string) (*Template, error) {
	t := &Template{text: text}
	quoted, rest := false, text
	for {
		literal, after, found := strings.Cut(rest, "{{")
		quoted = inString(literal, quoted)
		if !found {
			t.parts = append(t.parts, part{literal: literal})
			return t, nil
		}
		inner, next, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("%q: {{ without }}", text)
		}
		p := part{literal: literal}
		fields := strings.Split(inner, "|")
		p.name = strings.TrimSpace(fields[0])
		for _, f := range fields[1:] {
			p.escapes = append(p.escapes, strings.TrimSpace(f))
		}
		if err := p.check(in, vars, kept); err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		switch {
		case slices.Contains(p.escapes, "raw"):
			p.escapes = nil
		case how == asMessage && quoted:
			p.escapes = append(p.escapes, "json")
		case how == asURL && len(p.escapes) == 0:
			p.escapes = []string{"url"}
		}
		if value, ok := vars[p.name]; ok {
			p.literal, p.name = p.literal+string(p.escaped([]byte(value))), ""
		}
		t.parts = append(t.parts, p)
		rest = next
	}
}

// inString reports whether a JSON text is open after a literal that began inside of one or not.
func inString(literal string, open bool) bool {
	for i := 0; i < len(literal); i++ {
		switch {
		case literal[i] == '\\' && open:
			i++
		case literal[i] == '"':
			open = !open
		}
	}
	return open
}

// check sees to it that the variable and the escapes exist.
func (p *part) check(in scope, vars map[string]string, kept []string) (err error) {
	for _, e := range p.escapes {
		if !slices.Contains([]string{"raw", "json", "url", "base64"}, e) {
			return fmt.Errorf("{{...|%s}}: expected raw, json, url or base64", e)
		}
	}
	if path, ok := strings.CutPrefix(p.name, "received."); ok && in == inAnswer {
		p.name = "received"
		p.path, err = ParsePath(path)
		return err
	}
	names := slices.Clone(kept)
	for _, v := range Variables() {
		if v.scope&in != 0 {
			names = append(names, v.Name)
		} else if v.Name == p.name {
			return fmt.Errorf("{{%s}} has no value there", p.name)
		}
	}
	for name := range vars {
		names = append(names, name)
	}
	if slices.Contains(names, p.name) || in&anywhere != 0 && strings.HasPrefix(p.name, "row.") && p.name != "row." {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("no variable %q: expected one of %s", p.name, strings.Join(names, ", "))
}

// Append appends the text with its values. row is that of the client.
func (t *Template) Append(dst []byte, v *Values, row map[string]string) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		dst = append(dst, p.literal...)
		if p.name == "" {
			continue
		}
		if len(p.escapes) == 0 {
			dst = p.value(dst, v, row)
			continue
		}
		dst = append(dst, p.escaped(p.value(nil, v, row))...)
	}
	return dst
}

// Empty reports whether the template has variables, and none of them a value.
func (t *Template) Empty(v *Values, row map[string]string) bool {
	empty := false
	for i := range t.parts {
		if p := &t.parts[i]; p.name != "" {
			if len(p.value(nil, v, row)) > 0 {
				return false
			}
			empty = true
		}
	}
	return empty
}

func (p *part) value(dst []byte, v *Values, row map[string]string) []byte {
	switch p.name {
	case "channel":
		return append(dst, v.Channel...)
	case "topic":
		return append(dst, v.Topic...)
	case "user":
		return append(dst, v.User...)
	case "token":
		return append(dst, v.Token...)
	case "number":
		return strconv.AppendInt(dst, int64(v.Number), 10)
	case "key":
		return append(dst, v.Key...)
	case "ref":
		return strconv.AppendUint(dst, v.Ref, 10)
	case "payload":
		return append(dst, v.Payload...)
	case "id":
		return append(dst, v.ID...)
	case "stamp":
		return strconv.AppendInt(dst, v.Stamp, 10)
	case "items":
		return append(dst, v.Items...)
	case "received":
		raw, ok := p.path.Get(v.Received)
		if text, quoted := Text(raw); ok && quoted && len(p.escapes) > 0 {
			raw = text
		}
		return append(dst, raw...)
	}
	if name, ok := strings.CutPrefix(p.name, "row."); ok {
		return append(dst, row[name]...)
	}
	return append(dst, v.Kept[p.name]...)
}

// escaped is a value as it stands in the text.
func (p *part) escaped(value []byte) []byte {
	for _, e := range p.escapes {
		switch e {
		case "json":
			quoted, _ := json.Marshal(string(value)) // a string never fails
			value = quoted[1 : len(quoted)-1]
		case "url":
			value = []byte(url.QueryEscape(string(value)))
		case "base64":
			value = []byte(base64.StdEncoding.EncodeToString(value))
		}
	}
	return value
}
