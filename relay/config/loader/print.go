package loader

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"weir/relay/config"
)

// Print writes the configuration as YAML, each value followed by a comment that names its source.
// Secrets are written as <redacted>; apart from them, Load reads the output as the same configuration.
func Print(w io.Writer, c config.Config, origins Origins) error {
	p := &printer{origins: origins, notes: machine(c)}
	p.section(reflect.ValueOf(&c).Elem(), "", "", "")
	_, err := w.Write(p.bytes())
	return err
}

// printer gathers lines, so that their comments can stand below each other.
type printer struct {
	origins Origins
	notes   map[string]string // by path: what 0 means
	lines   []line
}

type line struct{ text, comment string }

// section writes the keys of a struct; first begins the first of them where it is an element of a list.
func (p *printer) section(v reflect.Value, path, indent, first string) {
	for i, f := range config.Fields(v) {
		start := indent
		if i == 0 && first != "" {
			start = first
		}
		p.entry(f.Name, f.Value, config.Join(path, f.Name), indent, start)
	}
}

func (p *printer) entry(name string, v reflect.Value, path, indent, start string) {
	key := start + yamlText(name) + ":"
	t := v.Type()
	switch {
	case config.IsLeaf(t):
		p.add(key+" "+p.leaf(path, v), p.comment(path, v))
	case t.Kind() == reflect.Struct:
		p.add(key, "")
		p.section(v, path, indent+"  ", "")
	case t.Kind() == reflect.Slice && v.Len() == 0:
		p.add(key+" []", p.origins[path].String())
	case t.Kind() == reflect.Slice:
		p.add(key, "")
		for i := range v.Len() {
			p.section(v.Index(i), config.Element(path, i), indent+"    ", indent+"  - ")
		}
	case t.Kind() == reflect.Map:
		p.add(key, "")
		for _, name := range config.Names(v) {
			p.entry(name, v.MapIndex(reflect.ValueOf(name)), config.Join(path, name), indent+"  ", indent+"  ")
		}
	}
}

// comment returns where a value comes from and, where 0 leaves it to the machine, what that makes of it.
func (p *printer) comment(path string, v reflect.Value) string {
	text := p.origins[path].String()
	if note := p.notes[path]; note != "" && v.IsZero() {
		text += ": " + note
	}
	return text
}

// machine is what zeros mean here.
func machine(c config.Config) map[string]string {
	connections, shards := c.Machine()
	return map[string]string{
		"limits.connections": fmt.Sprintf("%d here", connections),
		"limits.per_address": "no limit",
		"shards":             fmt.Sprintf("%d here", shards),
	}
}

// leaf spells a value.
func (p *printer) leaf(path string, v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		items := make([]string, v.Len())
		for i := range items {
			items[i] = yamlText(config.WithoutUser(v.Index(i).String()))
			if isSecret(path, v.Type()) {
				items[i] = config.Redacted
			}
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	if isSecret(path, v.Type()) && v.Len() > 0 {
		return config.Redacted
	}
	if v.Kind() == reflect.String {
		return yamlText(config.WithoutUser(v.String()))
	}
	return config.Format(v) // durations, sizes, rates, numbers: nothing in them needs quotes
}

func (p *printer) add(text, comment string) { p.lines = append(p.lines, line{text, comment}) }

func (p *printer) bytes() []byte {
	const widest = 48
	width := 0
	for _, l := range p.lines {
		if n := utf8.RuneCountInString(l.text); l.comment != "" && n <= widest {
			width = max(width, n)
		}
	}
	var b bytes.Buffer
	for _, l := range p.lines {
		b.WriteString(l.text)
		if l.comment != "" {
			b.WriteString(strings.Repeat(" ", max(0, width-utf8.RuneCountInString(l.text))+2))
			b.WriteString("# " + strings.Trim(strconv.QuoteToGraphic(l.comment), `"`))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// yamlText spells a text bare if YAML reads it back as just that, and in quotes otherwise.
func yamlText(s string) string {
	const bare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+=-"
	if s != "" && strings.Trim(s, bare) == "" && !strings.HasSuffix(s, ":") {
		if tokens := lexer.Tokenize(s); len(tokens) == 1 && tokens[0].Type == token.StringType && tokens[0].Value == s {
			return s
		}
	}
	return strconv.Quote(s)
}

// isSecret reports whether a value must not be shown. It goes by the last name of the path, so that a
// new secret is covered by being called one.
func isSecret(path string, t reflect.Type) bool {
	name := path[strings.LastIndexByte(path, '.')+1:]
	return (t.Kind() == reflect.String || t.Kind() == reflect.Slice) &&
		(name == "secret" || name == "secrets" || strings.HasSuffix(name, "_secret") || strings.HasSuffix(name, "_token") || strings.Contains(name, "password"))
}
