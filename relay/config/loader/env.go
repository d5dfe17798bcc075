package loader

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"weir/relay/config"
)

// Names outside the tree of keys.
const (
	prefix = "WEIR_"

	envKeyName = "env"
	devKey     = "dev" // a flag only: nobody should come to run in development mode by an inherited variable

	// FileVar names the configuration file where no flag does. Load does not read it: the program does.
	FileVar = "WEIR_CONFIG"
)

// injected are the variables that Kubernetes sets in every container for a Service named weir or weir-*.
var injected = regexp.MustCompile(`^WEIR(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// envKeys maps the name of each variable to the key path it sets.
func envKeys(systems []config.System) map[string]string {
	keys := make(map[string]string)
	config.WalkKeys(systems, func(path string, _ config.Field) {
		if !config.Chosen(path) {
			keys[prefix+strings.ToUpper(strings.ReplaceAll(path, ".", "_"))] = path
		}
	})
	return keys
}

// shortFlags are the flags that are not called after their keys.
var shortFlags = map[string]string{"cluster.nats": "--cluster", "cluster.embed.listen": "--cluster-listen", "cluster.embed.routes": "--cluster-routes",
	"cluster.embed.data": "--cluster-data", "cluster.node": "--node"}

// flagName is the flag that sets a key.
func flagName(path string) string {
	if short, ok := shortFlags[path]; ok {
		return short
	}
	return "--" + strings.NewReplacer(".", "-", "_", "-").Replace(path)
}

func (l *loader) readEnv(environ []string) {
	set := make(map[string]string)
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, prefix) {
			set[name] = strings.TrimRight(value, "\r\n") // which a file of variables from Windows leaves; of two with one name the last counts
		}
	}
	keys := envKeys(l.Config.Known)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value, origin := set[name], Origin{Kind: fromEnv, Name: name}
		if !config.IsPlain(name) {
			origin.Name = config.Quote(name)
		}
		path, known := keys[name]
		switch {
		case name == FileVar, value == "":
		case name == config.SecretVar || name == config.APIKeyVar:
			l.addKey(origin, value)
		case l.devSecret(strings.ToLower(strings.TrimPrefix(name, prefix))) != nil:
			l.setDev(strings.ToLower(strings.TrimPrefix(name, prefix)), origin, value)
		case known:
			l.setPath(path, origin, value)
		case injected.MatchString(name):
		default:
			if why := mistake(name, keys); why != "" {
				l.add("", origin, "%s", why)
			} else {
				l.Unused = append(l.Unused, origin.Name)
			}
		}
	}
}

// addKey adds the one key that a variable holds to those of the file.
func (l *loader) addKey(origin Origin, value string) {
	var path string
	if origin.Name == config.SecretVar {
		path = config.Element("auth.keys", len(l.Config.Auth.Keys))
		l.Config.Auth.Keys = append(l.Config.Auth.Keys, config.TokenKey{Algorithm: "HS256", Secret: value})
		l.Origins[config.Join(path, "algorithm")] = origin
	} else {
		path = config.Element("api.keys", len(l.Config.API.Keys))
		l.Config.API.Keys = append(l.Config.API.Keys, config.APIKey{Name: envKeyName, Secret: value})
		l.Origins[config.Join(path, "name")] = origin
	}
	l.Origins[path], l.Origins[config.Join(path, "secret")] = origin, origin
	if err := config.CheckText(value); err != nil {
		l.add(config.Join(path, "secret"), origin, "%s", err)
	}
}

// setPath sets the value of a key from a variable or flag; a list is separated by commas.
func (l *loader) setPath(path string, origin Origin, text string) {
	found := false
	config.Walk(&l.Config, func(p string, f config.Field) {
		if p != path {
			return
		}
		found = true
		if _, ok := f.Value.Interface().([]string); !ok {
			l.set(path, origin, f.Value, text)
			return
		}
		var list []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			if err := config.CheckText(item); err != nil {
				l.add(path, origin, "%s", err)
				return
			}
			list = append(list, item)
		}
		for i := range f.Value.Len() { // the lines of the list it replaces
			delete(l.Origins, config.Element(path, i))
		}
		f.Value.Set(reflect.ValueOf(list))
		l.Origins[path] = origin
	})
	if !found {
		l.add("", origin, "unknown key %s", config.Quote(path))
	}
}

func (l *loader) readFlags(flags map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(flags)) {
		origin := Origin{Kind: fromFlag, Name: flagName(path)}
		switch {
		case path == devKey:
			l.set(path, origin, reflect.ValueOf(&l.Config.Dev).Elem(), flags[path])
		case l.devSecret(path) != nil:
			l.setDev(path, origin, flags[path])
			if flags[path] == "" {
				l.add(path, origin, "expected a secret")
			}
		default:
			l.setPath(path, origin, flags[path])
		}
	}
}

// devSecret is the place of a key of development mode, which is no part of the file; nil: the name is not one of them.
func (l *loader) devSecret(name string) *string {
	switch name {
	case config.DevTokenSecretKey:
		return &l.Config.DevTokenSecret
	case config.DevAPIKeyKey:
		return &l.Config.DevAPIKey
	}
	return nil
}

func (l *loader) setDev(name string, origin Origin, value string) {
	if err := config.CheckText(value); err != nil {
		l.add(name, origin, "%s", err)
		return
	}
	*l.devSecret(name) = value
	l.Origins[name] = origin
}

// checkDev looks at keys of development mode without it. A flag is a mistake; a variable may be there for another start.
func (l *loader) checkDev() {
	if l.Config.Dev {
		return
	}
	for _, name := range []string{config.DevTokenSecretKey, config.DevAPIKeyKey} {
		switch origin := l.Origins[name]; origin.Kind {
		case fromFlag:
			l.add(name, origin, "goes with --dev only")
		case fromEnv:
			l.Notes = append(l.Notes, origin.Name+" is not used: it goes with --dev only")
		}
	}
}

// slips is by how many edits a variable may differ from a known one to be taken for it.
const slips = 2

// mistake returns what is wrong with an unknown variable if it was meant for weir: it is all but the name of a known one, or
// of something that cannot be set that way. It is empty for others: backends beside weir have variables of that kind,
// such as WEIR_URL.
func mistake(name string, keys map[string]string) string {
	switch {
	case name == prefix+"DEV":
		return "unknown variable: development mode is the flag --dev"
	case strings.HasPrefix(name, prefix+"NAMESPACES"):
		return "unknown variable: namespaces are set in the file only"
	case strings.HasPrefix(name, prefix+"AUTH_KEYS"), strings.HasPrefix(name, prefix+"API_KEYS"):
		return fmt.Sprintf("unknown variable: lists of keys are set in the file only; %s and %s add one key each", config.SecretVar, config.APIKeyVar)
	}
	candidates := append(slices.Sorted(maps.Keys(keys)), config.SecretVar, config.APIKeyVar, FileVar)
	if hint := nearest(name, candidates); hint != "" && distance(name, hint) <= slips {
		return "unknown variable: did you mean " + hint + "?"
	}
	return ""
}
