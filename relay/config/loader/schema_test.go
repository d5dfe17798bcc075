package loader

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
)

// TestEveryKeyIsHandled holds the reflection against config.Config: a field of a kind that cannot
// be read, or two keys with one variable, fail here and not at a user's.
func TestEveryKeyIsHandled(t *testing.T) {
	variables := make(map[string]string)
	count := 0
	config.WalkKeys(systems(), func(path string, f config.Field) {
		count++
		if config.KindOf(f.Value) == "" {
			t.Errorf("%s: no name for %v", path, f.Value.Type())
		}
		if config.Chosen(path) {
			return
		}
		name := "WEIR_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
		if other, twice := variables[name]; twice || name == config.SecretVar || name == config.APIKeyVar || name == FileVar {
			t.Errorf("%s and %s share %s", path, other, name)
		}
		variables[name] = path
		if injected.MatchString(name) {
			t.Errorf("%s is a name that Kubernetes sets", name)
		}
		c := config.Empty(systems())
		if v, ok := find(&c, path); !ok || v.Type() != f.Value.Type() || !v.CanSet() {
			t.Errorf("%s is not found by its path", path)
		}
	})
	if count < 45 {
		t.Errorf("only %d keys", count)
	}
	var all func(reflect.Type, string)
	all = func(typ reflect.Type, path string) {
		if config.IsLeaf(typ) {
			return
		}
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				if f.Tag.Get("yaml") == "" {
					t.Errorf("%s.%s has no yaml tag", path, f.Name)
				}
				if y := f.Tag.Get("yaml"); y != "-" && y != ",inline" {
					all(f.Type, path+"."+f.Name)
				}
			}
		case reflect.Map, reflect.Slice:
			all(typ.Elem(), path)
		default:
			t.Errorf("%s: a kind that cannot be read: %v", path, typ)
		}
	}
	all(reflect.TypeFor[config.Config](), "")
	for _, section := range config.Empty(systems()).Sections {
		all(reflect.TypeOf(section).Elem(), section.Key())
	}
}

// find returns the value of a key.
func find(c *config.Config, key string) (found reflect.Value, ok bool) {
	config.Walk(c, func(path string, f config.Field) {
		if path == key {
			found, ok = f.Value, true
		}
	})
	return found, ok
}

// TestNoZeroBecomesADefault: whoever writes a 0 gets a 0 or an error, never the default in silence.
func TestNoZeroBecomesADefault(t *testing.T) {
	filled := config.Config{Known: systems()}.WithDefaults()
	config.Walk(&filled, func(path string, f config.Field) {
		v := f.Value
		if v.IsZero() || v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice || v.Type() == reflect.TypeFor[units.Rate]() || strings.HasPrefix(path, "namespaces.") {
			return
		}
		zero := config.Format(reflect.Zero(v.Type()))
		c, _, err := loadText(strings.ReplaceAll("{"+strings.ReplaceAll(path, ".", ": {")+": \""+zero+"\""+strings.Repeat("}", strings.Count(path, ".")+1), "\n", ""), keysEnv, nil)
		if err != nil {
			return
		}
		if got, _ := find(&c, path); got.Type() != reflect.TypeFor[time.Duration]() || config.Format(got) != "0s" {
			t.Errorf("%s: %s became %v", path, zero, got)
		}
	})
}

func TestPaths(t *testing.T) {
	origins := make(Origins)
	for i, path := range []string{"limits", "auth.keys", "auth.keys[0]", "namespaces", `namespaces."a.b"`, `namespaces."a\".b"`} {
		origins[path] = Origin{Kind: fromFile, Line: i + 1}
	}
	for path, want := range map[string]int{
		"": 0, "listen": 0, "limits": 1, "limits.queue": 1, "auth.keys[0].id": 3, "auth.keys[1].id": 2, "auth.issuer": 0,
		`namespaces."a.b".slow`: 5, `namespaces."a.c".slow`: 4, `namespaces."a\".b".slow`: 6, `namespaces.a.slow`: 4,
	} {
		if got := origins.near(path).Line; got != want {
			t.Errorf("near %s: want line %d, got %d", path, want, got)
		}
	}
	if under("limits2", "limits") || !under("limits.a", "limits") || !under("auth.keys[0]", "auth.keys") {
		t.Error("under")
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", config.Immediately: "0s", 50 * time.Millisecond: "50ms", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		time.Hour + 10*time.Minute: "1h10m", 100 * time.Hour: "100h", time.Hour + time.Second: "1h0m1s", 10 * time.Second: "10s",
	} {
		got := config.FormatDuration(d)
		if got != want {
			t.Errorf("%v: want %s, got %s", d, want, got)
		}
		if back, err := time.ParseDuration(got); err != nil || back != d && d != config.Immediately {
			t.Errorf("%v: %s reads as %v, %v", d, got, back, err)
		}
	}
}

func TestDiff(t *testing.T) {
	a, _ := mustLoad(t, "origins: [https://a.example]\nnamespaces: {a: {}}", nil, nil)
	b, _ := mustLoad(t, "origins: [https://b.example]\nlimits: {queue: 2MiB}\nnamespaces: {default: {batch: {window: 1s}}}", nil, nil)
	got := strings.Join(Diff(a, b), " ")
	for _, want := range []string{"limits.queue", "origins", "namespaces.a.slow", "namespaces.default.batch.window"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s in %s", want, got)
		}
	}
	if len(Diff(a, a)) > 0 || strings.Contains(got, "listen") {
		t.Errorf("got %s", got)
	}
}

func TestDefaultsCopy(t *testing.T) {
	c := config.Config{Namespaces: config.Namespaces{"room": {}}}
	f := c.WithDefaults()
	if len(c.Namespaces) != 1 || c.Namespaces["room"].Slow != "" {
		t.Error("WithDefaults changed its argument")
	}
	if !reflect.DeepEqual(f, f.WithDefaults()) {
		t.Error("WithDefaults changes what is filled")
	}
	if problems := config.Check(config.Config{Dev: true, Known: systems()}.WithDefaults()).Problems; len(problems) > 0 {
		t.Errorf("the defaults do not pass: %v", problems)
	}
	before := f.WithDefaults()
	if err := Print(&bytes.Buffer{}, f, nil); err != nil || !reflect.DeepEqual(before, f) {
		t.Errorf("Print changed its argument, %v", err)
	}
}
