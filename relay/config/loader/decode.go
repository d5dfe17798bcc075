package loader

import (
	"reflect"

	"weir/relay/config"

	"github.com/goccy/go-yaml/ast"
)

// decoder puts what a file says into a configuration. It goes on after a problem, so that one run
// shows them all.
type decoder struct {
	*loader
	file string
}

// value sets v, of any kind a Config holds, from the node.
func (d *decoder) value(node ast.Node, v reflect.Value, path string) {
	origin := d.at(node)
	t := v.Type()
	if _, null := node.(*ast.NullNode); null {
		// A section whose lines are all commented out is a section without keys.
		if isScalar(t) {
			d.add(path, origin, "no value: expected %s", kindOf(v))
		}
		return
	}
	switch {
	case isScalar(t):
		text, ok := scalarText(node)
		if !ok {
			d.add(path, origin, "%s where %s is expected", shape(node), kindOf(v))
			return
		}
		d.set(path, origin, v, text)
	case t.Kind() == reflect.Struct:
		d.section(node, v, path)
	case t.Kind() == reflect.Map:
		d.table(node, v, path)
	case t.Kind() == reflect.Slice:
		d.list(node, v, path)
	}
}

// pair is one entry of a mapping.
type pair struct {
	name  string
	key   ast.Node
	value ast.Node
}

// pairs reads a mapping. Where a name stands twice, the first counts and the others are problems.
func (d *decoder) pairs(node ast.Node, v reflect.Value, path string) []pair {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.add(path, d.at(node), "%s where %s is expected", shape(node), kindOf(v))
		return nil
	}
	list := make([]pair, 0, len(mapping.Values))
	lines := make(map[string]int, len(mapping.Values))
	for _, entry := range mapping.Values {
		name, ok := scalarText(entry.Key)
		if !ok {
			d.add(path, d.at(entry.Key), "a key that is not a word: expected %s", kindOf(v))
			continue
		}
		origin := d.at(entry.Key)
		if first, twice := lines[name]; twice {
			d.add(config.Join(path, name), origin, "given twice: the first is on line %d", first)
			continue
		}
		lines[name] = origin.Line
		list = append(list, pair{name, entry.Key, entry.Value})
	}
	return list
}

// section reads the keys of a struct.
func (d *decoder) section(node ast.Node, v reflect.Value, path string) {
	known := make(map[string]reflect.Value)
	for _, f := range fields(v) {
		known[f.name] = f.value
	}
	for _, p := range d.pairs(node, v, path) {
		key := config.Join(path, p.name)
		field, ok := known[p.name]
		if !ok {
			d.add(key, d.at(p.key), "%s", unknown(p.name, v, reflect.ValueOf(&d.cfg).Elem()))
			continue
		}
		if !isScalar(field.Type()) {
			d.origins[key] = d.at(p.key)
		}
		d.value(p.value, field, key)
	}
}

// table reads entries with names of the user's choice.
func (d *decoder) table(node ast.Node, v reflect.Value, path string) {
	t := v.Type()
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	for _, p := range d.pairs(node, v, path) {
		key := config.Join(path, p.name)
		d.origins[key] = d.at(p.key)
		entry := reflect.New(t.Elem()).Elem()
		d.value(p.value, entry, key)
		v.SetMapIndex(reflect.ValueOf(p.name), entry)
	}
}

// list reads a sequence of sections or words; the result replaces the list.
func (d *decoder) list(node ast.Node, v reflect.Value, path string) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.add(path, d.at(node), "%s where %s is expected", shape(node), kindOf(v))
		return
	}
	v.SetZero() // an empty list is the same as none
	if n := len(sequence.Values); n > 0 {
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	}
	for i, item := range sequence.Values {
		key := config.Element(path, i)
		d.origins[key] = d.at(item)
		d.value(item, v.Index(i), key)
	}
}

func (d *decoder) at(node ast.Node) Origin {
	o := Origin{Kind: File, Name: d.file}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		node = m.Values[0].Key // the mapping's own token is a colon further on
	}
	if tk := node.GetToken(); tk != nil && tk.Position != nil {
		o.Line = tk.Position.Line
	}
	return o
}

// scalarText is the text of a word as it stands in the file: 0123 is not read as a number first.
func scalarText(node ast.Node) (string, bool) {
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
