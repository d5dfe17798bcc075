package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Field is one key of a section: a field of its struct. The tags of the struct say all that is to be known of it: yaml is its
// name; default is its value where nobody sets one; range is what a number, size or time may be, "least..most"; oneof lists the
// words it may be.
type Field struct {
	Name  string
	Value reflect.Value
	Tag   reflect.StructTag
}

// Fields lists the keys of a section in the order of the struct, and in it those of the systems.
func Fields(v reflect.Value) []Field {
	var list []Field
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		switch name, more, _ := strings.Cut(tag.Get("yaml"), ","); {
		case more == "inline":
			for _, s := range v.Field(i).Interface().([]Section) {
				list = append(list, Field{Name: s.Key(), Value: reflect.ValueOf(s).Elem()})
			}
		case name != "" && name != "-":
			list = append(list, Field{name, v.Field(i), tag})
		}
	}
	return list
}

// FieldNames are the keys of a section, for messages.
func FieldNames(v reflect.Value) []string {
	var names []string
	for _, f := range Fields(v) {
		names = append(names, f.Name)
	}
	return names
}

// Placeholders stand for what the user chooses, in the paths of WalkKeys.
const (
	anyName  = "NAME"
	anyIndex = "[]"
)

// Walk calls visit with each setting of a configuration, that is with each word and each list of words, by its full key path.
// visit may change the value. Entries of maps come in the order of their names.
func Walk(c *Config, visit func(path string, f Field)) {
	walk(Field{Value: reflect.ValueOf(c).Elem()}, "", false, visit)
}

// WalkKeys calls visit with each key that a configuration with these systems may have, and with an empty value of its type.
// [Chosen] tells the paths that hold placeholders.
func WalkKeys(systems []System, visit func(path string, f Field)) {
	walk(Field{Value: reflect.ValueOf(new(Empty(systems))).Elem()}, "", true, visit)
}

// Chosen reports whether a path of WalkKeys holds a placeholder for a name or an index of the user's choice.
func Chosen(path string) bool {
	return strings.Contains(path, anyName) || strings.Contains(path, anyIndex)
}

// Empty is a configuration in which nothing is set.
func Empty(systems []System) Config {
	c := Config{Known: systems}
	for _, s := range systems {
		if s.Section != nil {
			c.Sections = append(c.Sections, s.Section())
		}
	}
	return c
}

// walk is Walk below a value that can be set. With keys, maps and lists have one entry, a placeholder.
func walk(f Field, path string, keys bool, visit func(string, Field)) {
	v, t := f.Value, f.Value.Type()
	switch {
	case IsLeaf(t):
		visit(path, f)
	case t.Kind() == reflect.Struct:
		for _, sub := range Fields(v) {
			walk(sub, Join(path, sub.Name), keys, visit)
		}
	case keys && t.Kind() == reflect.Map:
		walk(Field{Value: reflect.New(t.Elem()).Elem()}, Join(path, anyName), keys, visit)
	case keys:
		walk(Field{Value: reflect.New(t.Elem()).Elem()}, path+anyIndex, keys, visit)
	case t.Kind() == reflect.Map:
		for _, name := range Names(v) {
			entry := reflect.New(t.Elem()).Elem()
			entry.Set(v.MapIndex(reflect.ValueOf(name)))
			walk(Field{Value: entry}, Join(path, name), keys, visit)
			v.SetMapIndex(reflect.ValueOf(name), entry)
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(Field{Value: v.Index(i)}, Element(path, i), keys, visit)
		}
	}
}

// Names are the names in a map, in order.
func Names(v reflect.Value) []string {
	names := make([]string, 0, v.Len())
	for _, key := range v.MapKeys() {
		names = append(names, key.String())
	}
	slices.Sort(names)
	return names
}

// These types are spelled in one word in a file, whatever they are made of.
var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	stringsType  = reflect.TypeFor[[]string]()
)

// IsWord reports whether a value of the type is one word in a file.
func IsWord(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == durationType || reflect.PointerTo(t).Implements(textType) ||
		t.Kind() == reflect.String || t.Kind() == reflect.Bool || t.Kind() == reflect.Int || t.Kind() == reflect.Float64
}

// IsLeaf reports whether a value of the type is set as a whole: a word, or a list of words.
func IsLeaf(t reflect.Type) bool { return IsWord(t) || t == stringsType }

// fillDefaults gives each setting below v its default, where it has the zero value.
func fillDefaults(v reflect.Value) {
	walk(Field{Value: v}, "", false, func(path string, f Field) {
		if text, ok := f.Tag.Lookup("default"); ok && f.Value.IsZero() {
			mustParse(f.Value, path, text)
		}
	})
}

// mustParse reads a tag, which is part of the program.
func mustParse(v reflect.Value, path, text string) {
	if err := Parse(v, text); err != nil {
		panic(fmt.Sprintf("config: tag of %s: %v", path, err))
	}
}
