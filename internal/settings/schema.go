package settings

import (
	"encoding"
	"maps"
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
	name  string // its yaml tag
	index int
}

// fields lists the keys of a section in the order of the struct.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "" && name != "-" {
			list = append(list, field{name, i})
		}
	}
	return list
}

// names are the keys of a section, for messages.
func names(t reflect.Type) []string {
	list := fields(t)
	out := make([]string, len(list))
	for i, f := range list {
		out[i] = f.name
	}
	return out
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

// everyKey calls visit with each leaf of a type, by key path with placeholders.
func everyKey(t reflect.Type, path string, visit func(path string, t reflect.Type)) {
	switch {
	case isLeaf(t):
		visit(path, t)
	case t.Kind() == reflect.Struct:
		for _, f := range fields(t) {
			everyKey(t.Field(f.index).Type, join(path, f.name), visit)
		}
	case t.Kind() == reflect.Map:
		everyKey(t.Elem(), join(path, anyName), visit)
	case t.Kind() == reflect.Slice:
		everyKey(t.Elem(), path+anyIndex, visit)
	}
}

// everyLeaf calls visit with each leaf of a configuration, settable, by full key path. Values of maps
// are visited in the order of their names and written back.
func everyLeaf(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	switch t := v.Type(); {
	case isLeaf(t):
		visit(path, v)
	case t.Kind() == reflect.Struct:
		for _, f := range fields(t) {
			everyLeaf(v.Field(f.index), join(path, f.name), visit)
		}
	case t.Kind() == reflect.Map:
		for _, key := range sortedKeys(v) {
			entry := reflect.New(t.Elem()).Elem()
			entry.Set(v.MapIndex(reflect.ValueOf(key)))
			everyLeaf(entry, join(path, key), visit)
			v.SetMapIndex(reflect.ValueOf(key), entry)
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			everyLeaf(v.Index(i), element(path, i), visit)
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
func leaf(c *config.Config, path string) (reflect.Value, bool) {
	v := reflect.ValueOf(c).Elem()
	for name := range strings.SplitSeq(path, ".") {
		if isLeaf(v.Type()) || v.Kind() != reflect.Struct {
			return reflect.Value{}, false
		}
		i := slices.IndexFunc(fields(v.Type()), func(f field) bool { return f.name == name })
		if i < 0 {
			return reflect.Value{}, false
		}
		v = v.Field(fields(v.Type())[i].index)
	}
	return v, isLeaf(v.Type())
}

// clone copies what Load and Fill would otherwise share with their caller.
func clone(c config.Config) config.Config {
	c.Auth.Keys = slices.Clone(c.Auth.Keys)
	c.API.Keys = slices.Clone(c.API.Keys)
	c.Systems = slices.Clone(c.Systems)
	c.Webhooks = slices.Clone(c.Webhooks)
	c.Events.Clients = slices.Clone(c.Events.Clients)
	c.Analytics.Alerts = slices.Clone(c.Analytics.Alerts)
	c.Namespaces = maps.Clone(c.Namespaces)
	return c
}

// Diff lists the key paths whose values differ between two configurations that Load returned, in the
// order of the paths.
func Diff(a, b config.Config) []string {
	values := func(c config.Config) map[string]string {
		c = clone(c)
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
