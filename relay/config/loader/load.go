package loader

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"weir/relay/config"
)

// Source is where settings are looked for.
type Source struct {
	Systems []config.System   // those that there are
	File    string            // path of the YAML file; "" for none
	Env     []string          // "NAME=value", as os.Environ gives it; only names that begin with WEIR_ are read
	Flags   map[string]string // by key path, such as "tls.cert"; "dev": "true" is development mode
}

// Loaded is a configuration that was read from its sources, and what there is to say about it.
type Loaded struct {
	Config  config.Config
	Origins Origins
	Notes   []string // what is odd and good all the same: what was left out of the files that it names
	Unused  []string // variables that begin like weir's own and set nothing: those of backends beside it, or a name quite wrong
}

// Load reads the sources, fills in the defaults and checks the result. Its error names all problems, all of
// them. Files that the configuration names (certificates, keys) are read to check them, relative to the
// working directory.
func Load(src Source) (Loaded, error) {
	l := newLoader(src.Systems)
	if src.File != "" {
		if data, err := readFile(src.File); err != nil {
			l.unreadable(Origin{Kind: fromFile, Name: src.File}, "%s", err)
		} else {
			l.readYAML(src.File, data)
		}
	}
	return l.load(src)
}

func newLoader(systems []config.System) *loader {
	return &loader{Loaded: Loaded{Config: config.Empty(systems), Origins: make(Origins)}}
}

// load is Load once the file is read.
func (l *loader) load(src Source) (Loaded, error) {
	l.readEnv(src.Env)
	l.readFlags(src.Flags)
	if !l.blind {
		l.finish()
	}
	if len(l.problems) > 0 {
		l.problems.sort()
		return Loaded{}, l.problems
	}
	return l.Loaded, nil
}

// loader gathers a configuration and what is wrong with it. One goroutine owns it.
type loader struct {
	Loaded
	problems problems
	blind    bool // the file is not known: what is missing may be in it
}

func (l *loader) add(key string, origin Origin, format string, args ...any) {
	l.problems = append(l.problems, problem{Key: key, Origin: origin, Message: fmt.Sprintf(format, args...)})
}

// set parses text into a word and notes where it came from.
func (l *loader) set(key string, origin Origin, v reflect.Value, text string) {
	if err := config.Parse(v, text); err != nil {
		l.add(key, origin, "%s", err)
		return
	}
	l.Origins[key] = origin
}

// unreadable says why a file is not known, or not as a whole.
func (l *loader) unreadable(origin Origin, format string, args ...any) {
	l.add("", origin, format, args...)
	l.blind = true
}

// finish fills in what nobody set and checks the whole. What was set to the zero value is checked as
// such, since WithDefaults takes a zero for "not set": a per_user of 0 is refused, never silently 100.
func (l *loader) finish() {
	zeros := make(map[string]bool)
	config.Walk(&l.Config, func(path string, f config.Field) {
		zeros[path] = f.Value.IsZero() && l.Origins[path].Kind != fromDefault
	})
	plain := l.Config
	plain.Dev = false
	l.Config = l.Config.WithDefaults()
	config.Walk(&l.Config, func(path string, f config.Field) {
		if zeros[path] {
			f.Value.SetZero()
		}
	})
	known := len(l.problems)
	l.checkSystems()
	checks := config.Check(l.Config)
	for _, p := range checks.Problems {
		if !l.problems[:known].about(p.Key) {
			l.add(p.Key, l.Origins.near(p.Key), "%s", p.Message)
		}
	}
	l.Notes = checks.Notes
	l.checkDev()
	config.Walk(&l.Config, func(path string, f config.Field) {
		if d, ok := f.Value.Interface().(time.Duration); ok && zeros[path] && d == 0 && f.Tag.Get("default") != "" {
			f.Value.SetInt(int64(config.Immediately))
		}
	})
	if l.Config.Dev { // what development mode opens comes from its flag
		for _, path := range Diff(plain.WithDefaults(), l.Config) {
			if l.Origins[path].Kind == fromDefault {
				l.Origins[path] = Origin{Kind: fromFlag, Name: flagName(devKey)}
			}
		}
	}
}

// checkSystems checks what is to be part of the relay.
func (l *loader) checkSystems() {
	known := l.Config.SystemNames()
	for i, name := range l.Config.Systems {
		key := config.Element("systems", i)
		switch {
		case slices.Contains(l.Config.Systems[:i], name):
			l.add(key, l.Origins.near(key), "%s is listed twice", config.Quote(name))
		case !slices.Contains(known, name):
			l.add(key, l.Origins.near(key), "%s is not a system: %sknown: %s", config.Quote(name), didYouMean(nearest(name, known)), strings.Join(known, ", "))
		}
	}
}

// Diff lists the key paths whose values differ between two configurations that Load returned, in the
// order of the paths.
func Diff(a, b config.Config) []string {
	before, after := values(a), values(b)
	all := maps.Clone(before)
	maps.Copy(all, after)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(path string) bool {
		old, was := before[path]
		value, is := after[path]
		return was && is && old == value
	})
}

// values are the settings of a configuration as texts.
func values(c config.Config) map[string]string {
	c = c.Clone()
	texts := make(map[string]string)
	config.Walk(&c, func(path string, f config.Field) {
		if list, ok := f.Value.Interface().([]string); ok {
			texts[path] = strings.Join(list, "\n")
		} else {
			texts[path] = config.Format(f.Value)
		}
	})
	return texts
}
