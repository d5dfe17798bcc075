package config

import (
	"reflect"
	"slices"

	"weir/internal/wire"
)

// System is what the configuration knows of a system.
type System struct {
	Name        string                      // in the list "systems"
	Distributed bool                        // it may run on several nodes of a cluster
	On          func(c *Config) bool        // reports whether it is switched on; nil: the list says so
	Section     func() Section              // returns its section, empty; nil: it has none
	Identifies  func(c *Config) bool        // reports whether it identifies clients, which then need no token; nil: it does not
	Decides     func(c *Config) bool        // reports whether it decides about namespaces with the access "webhook"; nil: it does not
	Check       func(c *Config, k *Checks)  // adds what is wrong with its settings beyond their tags; they have their defaults. nil: nothing
	Namespaces  []string                    // clients follow and fill their channels only as the system says, whatever the default namespace allows
	Personal    []string                    // namespaces with a channel for each user, which tokens of the demos name
	Kept        []string                    // those of Namespaces, and of users, that are durable in a cluster, too, as long as the system is on
	Place       func(channel string) string // returns the key by which the node of a channel of Namespaces is chosen; "": its name. nil: always
}

// Section is what can be set about one system, a section of the file. It is a pointer to a struct or to a list of structs, of
// which tags say the defaults and bounds: see Field.
type Section interface {
	// Key returns its name in the file.
	Key() string
}

// filler is a Section with defaults that tags cannot say.
type filler interface {
	// Fill puts those in the place of what is not set; dev is development mode on loopback, where keys may be published. It may
	// be called more than once.
	Fill(dev bool)
}

// Of returns the section of type T. Where there is none, one with its defaults is added.
func Of[T any, S interface {
	*T
	Section
}](c *Config) *T {
	for _, s := range c.Sections {
		if have, ok := s.(S); ok {
			return have
		}
	}
	s := S(new(T))
	c.Sections = append(c.Sections, s)
	c.fillSections(len(c.Sections) - 1)
	return s
}

// SystemNames are the names that the list "systems" may hold.
func (c *Config) SystemNames() (names []string) {
	for _, s := range c.Known {
		if s.On == nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// distributed are the names of the systems that may run on several nodes.
func (c *Config) distributed() (names []string) {
	for _, s := range c.Known {
		if s.On == nil && s.Distributed {
			names = append(names, s.Name)
		}
	}
	return names
}

// HasSystem reports whether a system is switched on.
func (c *Config) HasSystem(s *System) bool {
	if s.On != nil {
		return s.On(c)
	}
	return slices.Contains(c.Systems, s.Name)
}

// KeptByCluster reports whether a namespace is durable in a cluster since a system that is on needs that; "": any is.
func (c *Config) KeptByCluster(namespace string) bool {
	return slices.ContainsFunc(c.Known, func(s System) bool {
		return c.HasSystem(&s) && len(s.Kept) > 0 && (namespace == "" || slices.Contains(s.Kept, namespace))
	})
}

// Place returns what the nodes of channels are chosen by, the same whichever systems are on; "" stands for a channel's name.
func (c *Config) Place() func(channel string) string {
	places := make(map[string]func(channel string) string)
	for _, s := range c.Known {
		for _, name := range s.Namespaces {
			if s.Place != nil {
				places[name] = s.Place
			}
		}
	}
	return func(channel string) string {
		if place := places[wire.Namespace(channel)]; place != nil {
			return place(channel)
		}
		return ""
	}
}

// fillSections gives what is not set about systems its default, from the section with this index on.
func (c *Config) fillSections(from int) {
	for _, s := range c.Sections[from:] {
		if f, ok := s.(filler); ok {
			f.Fill(c.DevLocal())
		}
		fillDefaults(reflect.ValueOf(s).Elem())
	}
}

// orderSections has a section for each known system, in the order of the systems.
func (c *Config) orderSections() {
	var list []Section
	for _, s := range c.Known {
		if s.Section == nil {
			continue
		}
		section := s.Section()
		if i := slices.IndexFunc(c.Sections, func(have Section) bool { return have.Key() == section.Key() }); i >= 0 {
			section = c.Sections[i]
			c.Sections = slices.Delete(c.Sections, i, i+1)
		}
		list = append(list, section)
	}
	c.Sections = append(list, c.Sections...)
}

// Clone returns a copy that shares no list, map or pointer with c, so that either may be changed.
func (c *Config) Clone() Config {
	return cloned(reflect.ValueOf(*c)).Interface().(Config)
}

func cloned(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("yaml") != "-" {
				out.Field(i).Set(cloned(v.Field(i)))
			}
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			out.Index(i).Set(cloned(v.Index(i)))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		}
		for _, key := range v.MapKeys() {
			out.SetMapIndex(key, cloned(v.MapIndex(key)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(cloned(v.Elem()))
		}
	case reflect.Interface: // a section
		if !v.IsNil() {
			out.Set(cloned(v.Elem()))
		}
	}
	return out
}

// setDefault gives a value that is not set its default.
func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// identified reports whether a system identifies clients, so that no key for their tokens is needed.
func (c *Config) identified() bool {
	return slices.ContainsFunc(c.Known, func(s System) bool { return s.Identifies != nil && s.Identifies(c) })
}

// Decided reports whether a system decides about namespaces with the access "webhook".
func (c *Config) Decided() bool {
	return slices.ContainsFunc(c.Known, func(s System) bool { return s.Decides != nil && s.Decides(c) })
}
