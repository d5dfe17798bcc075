package loader

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"

	"weir/relay/config"
)

// These types are spelled in one word in a file, whatever they are made of.
var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	stringsType  = reflect.TypeFor[[]string]()
)

// field is one key of a section.
type field struct {
	name  string
	value reflect.Value
}

// fields lists the keys of a section in the order of the struct, and in it those of the systems.
func fields(v reflect.Value) []field {
	var list []field
	for i := range v.NumField() {
		switch name, more, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); {
		case more == "inline":
			for _, s := range v.Field(i).Interface().([]config.Section) {
				list = append(list, field{s.Key(), reflect.ValueOf(s).Elem()})
			}
		case name != "" && name != "-":
			list = append(list, field{name, v.Field(i)})
		}
	}
	return list
}

// names are the keys of a section, for messages.
func names(v reflect.Value) []string {
	var out []string
	for _, f := range fields(v) {
		out = append(out, f.name)
	}
	return out
}

// empty is a configuration in which nothing is set.
func empty(systems []config.System) reflect.Value {
	c := newConfig(systems)
	return reflect.ValueOf(&c).Elem()
}

func newConfig(systems []config.System) config.Config {
	c := config.Config{Known: systems}
	for _, s := range systems {
		if s.Section != nil {
			c.Sections = append(c.Sections, s.Section())
		}
	}
	return c
}

// isScalar says whether a value of the type is one word in a file.
func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == durationType || reflect.PointerTo(t).Implements(textType) ||
		t.Kind() == reflect.String || t.Kind() == reflect.Bool || t.Kind() == reflect.Int || t.Kind() == reflect.Float64
}

// isLeaf says whether a value of the type is set as a whole: a word, or a list of words.
func isLeaf(t reflect.Type) bool { return isScalar(t) || t == stringsType }

// A placeholder stands for a name that the user chooses, in the paths of everyKey.
const (
	anyName  = "NAME"
	anyIndex = "[]"
)

// everyKey calls visit with each leaf of a value, by key path with placeholders.
func everyKey(v reflect.Value, path string, visit func(path string, t reflect.Type)) {
	switch t := v.Type(); {
	case isLeaf(t):
		visit(path, t)
	case t.Kind() == reflect.Struct:
		for _, f := range fields(v) {
			everyKey(f.value, config.Join(path, f.name), visit)
		}
	case t.Kind() == reflect.Map:
		everyKey(reflect.Zero(t.Elem()), config.Join(path, anyName), visit)
	case t.Kind() == reflect.Slice:
		everyKey(reflect.Zero(t.Elem()), path+anyIndex, visit)
	}
}

// everyLeaf calls visit with each leaf of a configuration, settable, by full key path. Values of maps
// are visited in the order of their names and written back.
func everyLeaf(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	switch t := v.Type(); {
	case isLeaf(t):
		visit(path, v)
	case t.Kind() == reflect.Struct:
		for _, f := range fields(v) {
			everyLeaf(f.value, config.Join(path, f.name), visit)
		}
	case t.Kind() == reflect.Map:
		for _, key := range sortedKeys(v) {
			entry := reflect.New(t.Elem()).Elem()
			entry.Set(v.MapIndex(reflect.ValueOf(key)))
			everyLeaf(entry, config.Join(path, key), visit)
			v.SetMapIndex(reflect.ValueOf(key), entry)
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			everyLeaf(v.Index(i), config.Element(path, i), visit)
		}
	}
}

func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// leaf finds the value of a key path that holds no names of the user's choice and no indexes.
func leaf(c *config.Config, path string) (found reflect.Value, ok bool) {
	everyLeaf(reflect.ValueOf(c).Elem(), "", func(p string, v reflect.Value) {
		if p == path {
			found, ok = v, true
		}
	})
	return found, ok
}

// Diff lists the key paths whose values differ between two configurations that Load returned, in the
// order of the paths.
func Diff(a, b config.Config) []string {
	values := func(c config.Config) map[string]string {
		c = c.Clone()
		m := make(map[string]string)
		everyLeaf(reflect.ValueOf(&c).Elem(), "", func(path string, v reflect.Value) {
			if v.Type() == stringsType {
				m[path] = strings.Join(v.Interface().([]string), "\n")
			} else {
				m[path] = format(v)
			}
		})
		return m
	}
	before, after := values(a), values(b)
	var changed []string
	for path, value := range after {
		if old, ok := before[path]; !ok || old != value {
			changed = append(changed, path)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	return changed
}

// isSecret says whether a value must not be shown. It goes by the last name of the path, so that a
// new secret is covered by being called one.
func isSecret(path string, t reflect.Type) bool {
	name := path[strings.LastIndexByte(path, '.')+1:]
	return (t.Kind() == reflect.String || t == stringsType) &&
		(name == "secret" || name == "secrets" || strings.HasSuffix(name, "_secret") || strings.HasSuffix(name, "_token") || strings.Contains(name, "password"))
}
