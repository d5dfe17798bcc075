package loader

import (
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"weir/relay/config"
)

// decoder puts what a file says into a configuration. It goes on after a problem, so that one run
// shows them all.
type decoder struct {
	*loader
	place func(*token.Token) Origin
}

// value sets v, of any kind a Config holds, from the node.
func (d *decoder) value(node ast.Node, v reflect.Value, path string) {
	origin, t := d.at(node), v.Type()
	text, isWord := wordOf(node)
	sequence, isList := node.(*ast.SequenceNode)
	mapping, isSection := node.(*ast.MappingNode)
	switch _, null := node.(*ast.NullNode); {
	case null && config.IsWord(t):
		d.add(path, origin, "no value: expected %s", config.KindOf(v))
	case null: // a section whose lines are all commented out is a section without keys
	case config.IsWord(t) && isWord:
		d.set(path, origin, v, text)
	case t.Kind() == reflect.Slice && isList:
		d.list(sequence, v, path)
	case t.Kind() == reflect.Struct && isSection && !config.IsWord(t):
		fields := config.Fields(v)
		d.entries(mapping, v, path, func(entry *ast.MappingValueNode, name, key string) {
			i := slices.IndexFunc(fields, func(f config.Field) bool { return f.Name == name })
			if i < 0 {
				d.add(key, d.at(entry.Key), "%s", unknown(name, v, d.Config.Known))
				return
			}
			if field := fields[i].Value; !config.IsWord(field.Type()) {
				d.Origins[key] = d.at(entry.Key)
			}
			d.value(entry.Value, fields[i].Value, key)
		})
	case t.Kind() == reflect.Map && isSection:
		if v.IsNil() {
			v.Set(reflect.MakeMap(t))
		}
		d.entries(mapping, v, path, func(entry *ast.MappingValueNode, name, key string) {
			d.Origins[key] = d.at(entry.Key)
			value := reflect.New(t.Elem()).Elem()
			d.value(entry.Value, value, key)
			v.SetMapIndex(reflect.ValueOf(name), value)
		})
	default:
		d.add(path, origin, "%s where %s is expected", shape(node), config.KindOf(v))
	}
}

// entries calls f with each entry of a mapping, its name and its key path. Where a name stands twice, the first counts and the
// others are problems.
func (d *decoder) entries(mapping *ast.MappingNode, v reflect.Value, path string, f func(entry *ast.MappingValueNode, name, key string)) {
	lines := make(map[string]int, len(mapping.Values))
	for _, entry := range mapping.Values {
		name, ok := wordOf(entry.Key)
		origin, key := d.at(entry.Key), config.Join(path, name)
		if !ok {
			d.add(path, origin, "a key that is not a word: expected %s", config.KindOf(v))
		} else if first, twice := lines[name]; twice {
			d.add(key, origin, "given twice: the first is on line %d", first)
		} else {
			lines[name] = origin.Line
			f(entry, name, key)
		}
	}
}

// list reads a sequence of sections or words; the result replaces the list.
func (d *decoder) list(sequence *ast.SequenceNode, v reflect.Value, path string) {
	v.SetZero() // an empty list is the same as none
	if n := len(sequence.Values); n > 0 {
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	}
	for i, item := range sequence.Values {
		key := config.Element(path, i)
		d.Origins[key] = d.at(item)
		d.value(item, v.Index(i), key)
	}
}

func (d *decoder) at(node ast.Node) Origin {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		node = m.Values[0].Key // the mapping's own token is a colon further on
	}
	return d.place(node.GetToken())
}

// wordOf is the text of a word as it stands in the file: 0123 is not read as a number first.
func wordOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// shape names what was found, for messages.
func shape(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "no value"
	}
	return "a word"
}
