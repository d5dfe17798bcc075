package loader

import (
	"strconv"
	"strings"
)

// Kind is the kind of place that a value comes from.
type Kind uint8

// The kinds of places, from the weakest to the strongest.
const (
	fromDefault Kind = iota // nobody set it
	fromFile                // the configuration file
	fromEnv                 // an environment variable
	fromFlag                // a command-line flag
)

// Origin is the place a value comes from. The zero Origin is a default.
type Origin struct {
	Kind Kind
	Name string // of the file, the variable, or the flag with its dashes
	Line int    // in the file, from 1; 0 for the file as a whole and for other kinds
}

// String is "default", "file weir.yaml:3", "env WEIR_LISTEN" or "flag --listen".
func (o Origin) String() string {
	switch o.Kind {
	case fromFile:
		return "file " + o.place()
	case fromEnv:
		return "env " + o.Name
	case fromFlag:
		return "flag " + o.Name
	}
	return "default"
}

// place is the origin as the beginning of a message: "weir.yaml:3".
func (o Origin) place() string {
	if o.Line > 0 {
		return o.Name + ":" + strconv.Itoa(o.Line)
	}
	return o.Name
}

// Origins is where values come from, by full key path such as auth.keys[0].secret. It holds
// sections and list elements of the file too; a value without an entry is a default.
type Origins map[string]Origin

// near is the origin of the key, or else of the closest section around it that has one: a key that is
// missing from a section is reported where the section begins.
func (o Origins) near(key string) Origin {
	for end := len(key); end > 0; end-- {
		if end == len(key) || key[end] == '.' || key[end] == '[' {
			if origin, ok := o[key[:end]]; ok { // in a quoted name there is none
				return origin
			}
		}
	}
	return Origin{}
}

// under reports whether the key is section, or lies within it.
func under(key, section string) bool {
	rest, ok := strings.CutPrefix(key, section)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
