package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// rule says what a package and those below it must not import, and why.
type rule struct {
	in     string
	not    []string
	reason string
}

var rules = []rule{
	{"broker", []string{"weir/", "net/http", "github.com/valyala/fasthttp"}, "channels know nothing of connections"},
	{"batch", []string{"weir/", "net"}, "windows know nothing of connections"},
	{"pool", []string{"weir/batch", "weir/broker", "weir/relay", "weir/loadtest", "net/http"}, "connections know nothing of channels"},
	{"loadtest", []string{"weir/relay", "weir/broker", "weir/batch", "weir/pool"}, "the load tester sees the relay from outside"},
	{"relay", []string{"weir/loadtest", "weir/cmd"}, "arrows point down"},
	{"internal/wire", []string{"weir/", "net"}, "the codec does no I/O"},
}

// libraries are the folders that may import a library: elsewhere it is replaced by what they offer. "=relay" is that folder alone.
var libraries = map[string][]string{
	"github.com/valyala/fasthttp": {"=relay", "relay/admin", "relay/route", "relay/api", "relay/native", "relay/session", "relay/ingress", "relay/httpcheck", "relay/websocket",
		"relay/jsonbody", "relay/systems"},
	"github.com/lxzan/gws":                    {"internal/remote", "loadtest/peers"},
	"github.com/nats-io":                      {"internal/mesh", "cmd/weir"},
	"go.etcd.io/bbolt":                        {"broker/disk"},
	"github.com/jackc/pgx":                    {"relay/systems/outbox", "internal/pgtest"},
	"github.com/goccy/go-yaml":                {"relay/config/loader", "loadtest"},
	"github.com/alecthomas/kong":              {"cmd/weir"},
	"github.com/panjf2000/ants":               {"relay/hub", "relay/session"},
	"go.opentelemetry.io":                     {"relay/tracing"},
	"github.com/klauspost/compress":           {"relay/hub", "relay/websocket", "broker/ledger", "loadtest"},
	"github.com/HdrHistogram/hdrhistogram-go": {"loadtest"},
}

// TestLibrariesHaveTheirPlace holds where libraries are used, but for tests.
func TestLibrariesHaveTheirPlace(t *testing.T) {
	seen := make(map[string]bool)
	packages(t, func(dir string, files map[string]*file) {
		for name, x := range files {
			if strings.HasSuffix(name, "_test.go") || under(dir, testOnly) {
				continue
			}
			for _, i := range x.imports {
				for library, in := range libraries {
					if !under(i, library) {
						continue
					}
					seen[library] = true
					if !slices.ContainsFunc(in, func(place string) bool { return place == "="+dir || under(dir, place) }) {
						t.Errorf("%s/%s imports %s, which only %v may", dir, name, i, in)
					}
				}
			}
		}
	})
	for library := range libraries {
		if !seen[library] {
			t.Errorf("%s is not imported anywhere", library)
		}
	}
}

// testOnly holds what only tests are made of.
const testOnly = "relay/relaytest"

// top is what may stand at the top level.
var top = []string{"relay", "broker", "batch", "pool", "cmd", "loadtest", "docs", "internal", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
	"CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}

// packages calls f for every folder that holds Go files, with its import statements by file.
func packages(t *testing.T, f func(dir string, files map[string]*file)) {
	t.Helper()
	found := make(map[string]map[string]*file)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		x := &file{comment: parsed.Doc.Text()}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			x.imports = append(x.imports, name)
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if found[dir] == nil {
			found[dir] = make(map[string]*file)
		}
		found[dir][filepath.Base(path)] = x
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range found {
		f(filepath.ToSlash(dir), files)
	}
}

type file struct {
	comment string
	imports []string
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestImports(t *testing.T) {
	packages(t, func(dir string, files map[string]*file) {
		for _, r := range rules {
			if !under(dir, r.in) {
				continue
			}
			for name, x := range files {
				for _, i := range x.imports {
					if under(dir, testOnly) && r.in == "relay" { // it tests the whole, with the tester's own eyes
						continue
					}
					for _, not := range r.not {
						forbidden := i == not || strings.HasPrefix(i, strings.TrimSuffix(not, "/")+"/")
						if i == "weir/internal/contain" || i == "weir/internal/lookup" { // leaves of everything
							continue
						}
						if dir == "broker/ledger" && under(i, "weir/internal/mesh") { // what it keeps channels on
							continue
						}
						own := under(i, "weir/"+r.in) || strings.HasPrefix(i, "weir/internal/memnet") && strings.HasSuffix(name, "_test.go")
						if forbidden && !own && !(not == "net" && i != "net") {
							t.Errorf("%s/%s imports %s: %s", dir, name, i, r.reason)
						}
					}
				}
			}
		}
	})
}

func TestPackageComments(t *testing.T) {
	packages(t, func(dir string, files map[string]*file) {
		var with []string
		for name, x := range files {
			if !strings.HasSuffix(name, "_test.go") && x.comment != "" && !strings.HasPrefix(x.comment, "//go:build") {
				with = append(with, name)
			}
		}
		tests := !slices.ContainsFunc(keys(files), func(n string) bool { return !strings.HasSuffix(n, "_test.go") })
		if len(with) != 1 && !tests {
			t.Errorf("%s: %d package comments %v, want one", dir, len(with), with)
		}
	})
}

func keys(m map[string]*file) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") && name != "bin" && !slices.Contains(top, name) {
			t.Errorf("%s stands at the top level; one of the folders there is its place", name)
		}
	}
}

// TestSystemsStandAlone holds that no system imports another one, and that nothing but the binary and tests imports a system.
func TestSystemsStandAlone(t *testing.T) {
	const systems = "weir/relay/systems/"
	nameOf := func(path string) string { // "" for what is no system
		rest, _ := strings.CutPrefix(path+"/", systems)
		name, _, ok := strings.Cut(rest, "/")
		if !ok || !strings.HasPrefix(path, systems) {
			return ""
		}
		return name
	}
	packages(t, func(dir string, files map[string]*file) {
		own := nameOf("weir/" + dir + "/")
		for name, x := range files {
			if strings.HasSuffix(name, "_test.go") || under(dir, testOnly) || under(dir, "cmd/weir") {
				continue
			}
			for _, i := range x.imports {
				switch other := nameOf(i); {
				case other == "", own != "" && (other == own || other == "internal"):
				default:
					t.Errorf("%s/%s imports %s: a system is known to the binary alone", dir, name, i)
				}
			}
		}
	})
}

// TestConfigStandsBelow holds the lowest floors of the house: the configuration knows keys and what they are made of, and no part
// that it configures; what is internal knows nothing of the relay.
func TestConfigStandsBelow(t *testing.T) {
	packages(t, func(dir string, files map[string]*file) {
		var may []string
		switch {
		case under(dir, "relay/config"):
			may = []string{"weir/relay/config", "weir/relay/auth"}
		case !under(dir, "internal") || under(dir, "internal/faults"): // the faults see the whole, as tests do
			return
		}
		for name, x := range files {
			for _, i := range x.imports {
				if under(i, "weir/relay") && !strings.HasSuffix(name, "_test.go") && !slices.ContainsFunc(may, func(m string) bool { return under(i, m) }) {
					t.Errorf("%s/%s imports %s: arrows point down", dir, name, i)
				}
			}
		}
	})
}

// core are the folders that know no system by its name.
var core = []string{"relay", "batch", "broker", "pool", "internal"}

// shared are systems whose names mean something to the core too.
var shared = map[string]string{
	"presence": "who is in a channel is the core's to know; the command, the namespace and the operation have that name",
	"webhook":  "a kind of access",
}

// TestCoreNamesNoSystem holds that the name of a system stands in no text of the core: adding one touches its own folder and the list of
// the binary.
func TestCoreNamesNoSystem(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "relay/systems"))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		if _, too := shared[e.Name()]; !too && e.Name() != "internal" {
			names[strconv.Quote(e.Name())] = true
		}
	}
	if len(names) < 4 {
		t.Fatalf("only %v", names)
	}
	for _, dir := range core {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "systems" || d.Name() == "relaytest" || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && names[lit.Value] {
					t.Errorf("%s: the core names the system %s", fset.Position(lit.Pos()), lit.Value)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// floors are the packages of the relay from the top down: each may import those behind it, and none before it.
var floors = []string{"relay", "relay/admin", "relay/route", "relay/api", "relay/native", "relay/session", "relay/ingress", "relay/httpcheck", "relay/websocket", "relay/hub", "relay/presence", "relay/cluster", "relay/tracing", "relay/stats", "relay/jsonbody", "relay/problem", "relay/config", "relay/auth"}

// floorOf is the floor that a package is on, or the one that it is within; -1: none, such as that of a system.
func floorOf(dir string) int {
	at := slices.Index(floors, dir)
	for at < 0 && strings.Contains(dir, "/") && path.Dir(dir) != "relay" {
		dir = path.Dir(dir)
		at = slices.Index(floors, dir)
	}
	return at
}

func TestFloors(t *testing.T) {
	seen := 0
	packages(t, func(dir string, files map[string]*file) {
		at := floorOf(dir)
		if at < 0 {
			return
		}
		if floors[at] == dir {
			seen++
		}
		for name, x := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, i := range x.imports {
				if above := floorOf(strings.TrimPrefix(i, "weir/")); above >= 0 && above < at {
					t.Errorf("%s/%s imports %s: arrows point down", dir, name, i)
				}
			}
		}
	})
	if seen != len(floors) {
		t.Errorf("%d floors are there, want %d", seen, len(floors))
	}
}
