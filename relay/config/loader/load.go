package loader

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"weir/relay/config"
)

// Source is where settings are looked for.
type Source struct {
	Systems []config.System   // those that there are
	File    string            // path of the YAML file; "" for none
	Env     []string          // "NAME=value", as os.Environ gives it; only names that begin with WEIR_ are read
	Flags   map[string]string // by key path, such as "tls.cert"; "dev": "true" is development mode
}

// Load reads the sources, fills in the defaults and checks the result. Its error is Problems, all of
// them. Files that the configuration names (certificates, keys) are read to check them, relative to the
// working directory.
func Load(src Source) (config.Config, Origins, error) {
	l := newLoader(src.Systems)
	if src.File != "" {
		if data, err := readFile(src.File); err != nil {
			l.unreadable(Origin{Kind: File, Name: src.File}, err.Error())
		} else {
			l.readYAML(src.File, data)
		}
	}
	return l.load(src)
}

func newLoader(systems []config.System) *loader {
	return &loader{cfg: newConfig(systems), origins: make(Origins)}
}

// load is Load once the file is read.
func (l *loader) load(src Source) (config.Config, Origins, error) {
	l.readEnv(src.Env)
	l.readFlags(src.Flags)
	var cfg config.Config
	if !l.blind {
		cfg = l.finish()
	}
	if len(l.problems) > 0 {
		l.problems.sort()
		return config.Config{}, nil, l.problems
	}
	return cfg, l.origins, nil
}

// loader gathers a configuration and what is wrong with it. One goroutine owns it.
type loader struct {
	cfg      config.Config
	origins  Origins
	problems Problems
	blind    bool // the file is not known: what is missing may be in it
}

// Notes says what is odd about a configuration that is good: what was left out of the files that it names.
func Notes(c config.Config) []string { return config.Check(c).Notes }

func (l *loader) add(key string, origin Origin, format string, args ...any) {
	l.problems = append(l.problems, Problem{Key: key, Origin: origin, Message: fmt.Sprintf(format, args...)})
}

// set parses text into a leaf and notes where it came from.
func (l *loader) set(key string, origin Origin, v reflect.Value, text string) {
	if err := parse(v, text); err != nil {
		l.add(key, origin, "%s", err)
		return
	}
	l.origins[key] = origin
}

func (l *loader) unreadable(origin Origin, message string) {
	l.add("", origin, "%s", message)
	l.blind = true
}

func (l *loader) readYAML(file string, data []byte) {
	node, bad := parseYAML(data)
	if bad != nil {
		l.unreadable(Origin{Kind: File, Name: file, Line: bad.line}, bad.message)
		return
	}
	if node != nil {
		d := &decoder{loader: l, file: file}
		d.value(node, reflect.ValueOf(&l.cfg).Elem(), "")
	}
}

// finish fills in what nobody set and checks the whole. What was set to the zero value is checked as
// such, since WithDefaults takes a zero for "not set": a per_user of 0 is refused, never silently 100.
func (l *loader) finish() config.Config {
	zeros := make(map[string]bool)
	everyLeaf(reflect.ValueOf(&l.cfg).Elem(), "", func(path string, v reflect.Value) {
		if origin := l.origins[path]; origin.Kind != Default && v.IsZero() {
			zeros[path] = true
		}
	})
	filled := l.cfg.WithDefaults()
	asWritten := l.cfg.WithDefaults()
	edit(&asWritten, zeros, func(v reflect.Value) { v.SetZero() })
	known := len(l.problems)
	l.systems(asWritten)
	for _, p := range config.Check(asWritten).Problems {
		if !l.problems[:known].about(p.Key) {
			l.add(p.Key, l.origins.near(p.Key), "%s", p.Message)
		}
	}
	edit(&filled, zeros, func(v reflect.Value) {
		if !v.IsZero() && v.Type() == durationType {
			v.SetInt(int64(atOnce))
		}
	})
	l.noteDev(filled)
	return filled
}

// systems checks what is to be part of the relay.
func (l *loader) systems(c config.Config) {
	known := c.SystemNames()
	for i, name := range c.Systems {
		key := config.Element("systems", i)
		switch {
		case slices.Contains(c.Systems[:i], name):
			l.add(key, l.origins.near(key), "%s is listed twice", config.Quote(name))
		case !slices.Contains(known, name):
			hint := ""
			if near := nearest(name, known); near != "" {
				hint = "did you mean " + near + "? "
			}
			l.add(key, l.origins.near(key), "%s is not a system: %sknown: %s", config.Quote(name), hint, strings.Join(known, ", "))
		}
	}
}

// noteDev attributes to the flag what development mode opens.
func (l *loader) noteDev(filled config.Config) {
	if !filled.Dev {
		return
	}
	plain := l.cfg
	plain.Dev = false
	plain = plain.WithDefaults()
	defaults := make(map[string]string)
	everyLeaf(reflect.ValueOf(&plain).Elem(), "", func(path string, v reflect.Value) {
		if isScalar(v.Type()) {
			defaults[path] = format(v)
		}
	})
	if len(l.cfg.Systems) == 0 {
		l.origins["systems"] = Origin{Kind: Flag, Name: flagName(devKey)}
	}
	everyLeaf(reflect.ValueOf(&filled).Elem(), "", func(path string, v reflect.Value) {
		if isScalar(v.Type()) && l.origins[path].Kind == Default && defaults[path] != format(v) {
			l.origins[path] = Origin{Kind: Flag, Name: flagName(devKey)}
		}
	})
}

// edit calls change with the leaves of the paths.
func edit(c *config.Config, paths map[string]bool, change func(reflect.Value)) {
	everyLeaf(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		if paths[path] {
			change(v)
		}
	})
}
