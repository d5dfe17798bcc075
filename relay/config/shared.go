package config

import (
	"fmt"
	"reflect"
	"slices"
)

// Shared lists what all nodes of a cluster must have in common, one line each: the partitions, the systems, and of each namespace what is not as it would be by itself. What a
// version of the relay does not know, and another one does not set, is in the lists of neither.
func (c *Config) Shared() []string {
	list := []string{fmt.Sprintf("cluster.partitions: %d", c.Cluster.Partitions)}
	for _, name := range c.Systems {
		list = append(list, "systems: "+name)
	}
	limit := Config{}.WithDefaults().Limit
	for name, n := range c.Namespaces {
		path := Join("namespaces", name)
		list = append(list, path)
		n, base := n.WithDefaults(limit), Namespace{}.WithDefaults(limit)
		values := make(map[string]string)
		walk(Field{Value: reflect.ValueOf(&base).Elem()}, path, false, func(path string, f Field) { values[path] = textOf(f.Value) })
		walk(Field{Value: reflect.ValueOf(&n).Elem()}, path, false, func(path string, f Field) {
			if text := textOf(f.Value); text != values[path] {
				list = append(list, path+": "+text)
			}
		})
	}
	slices.Sort(list)
	return list
}

// textOf is the text of a setting, or of what it points to.
func textOf(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return fmt.Sprint(v.Interface())
}
