package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systems is for which other systems TestOtherSystems looks at everything: make systems names them. It takes a while.
var systems = flag.String("systems", "", "GOOS/GOARCH of systems, separated by spaces")

// listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir, Name string
	GoFiles               []string
	Standard              bool
	Module                *struct{ Main bool }
	ImportMap             map[string]string
	Error                 *struct{ Err string }
}

// TestOtherSystems checks the types of everything, tests too, as it is compiled for other systems. Nothing is compiled for it: that would take as
// long as everything else that is compiled for a run of the tests.
func TestOtherSystems(t *testing.T) {
	for system := range strings.FieldsSeq(*systems) {
		t.Run(system, func(t *testing.T) {
			goos, goarch, _ := strings.Cut(system, "/")
			var errs bytes.Buffer
			list := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,Name,GoFiles,Standard,Module,ImportMap,Error", "./...")
			list.Dir, list.Env, list.Stderr = root, append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"), &errs
			out, err := list.Output()
			if err != nil {
				t.Fatalf("go list: %v\n%s", err, &errs)
			}
			sizes, done := types.SizesFor("gc", goarch), map[string]*types.Package{"unsafe": types.Unsafe}
			for from := json.NewDecoder(bytes.NewReader(out)); ; { // what others import comes before them
				var p listed
				if err := from.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				switch {
				case p.Error != nil:
					t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
				case done[p.ImportPath] == nil && !strings.HasSuffix(p.ImportPath, ".test"): // what go test makes of them
					done[p.ImportPath] = p.check(t, sizes, done)
				}
			}
			if len(done) < 300 {
				t.Errorf("only %d packages", len(done))
			}
		})
	}
}

// check returns the types of a package; for one that is not ours, those of what it exports.
func (p *listed) check(t *testing.T, sizes types.Sizes, done map[string]*types.Package) *types.Package {
	t.Helper()
	ours := p.Module != nil && p.Module.Main
	var files []*ast.File
	positions := token.NewFileSet()
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(positions, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	config := types.Config{Sizes: sizes, IgnoreFuncBodies: !ours, Error: func(err error) {
		if ours {
			t.Error(err)
		}
	}, Importer: importing(func(path string) (*types.Package, error) {
		if other := p.ImportMap[path]; other != "" {
			path = other
		}
		if done[path] == nil {
			return nil, fmt.Errorf("%s imports %s, which is not listed", p.ImportPath, path)
		}
		return done[path], nil
	})}
	path, _, _ := strings.Cut(p.ImportPath, " ") // that of a test has the test's name behind it
	checked, err := config.Check(path, positions, files, nil)
	if err != nil && !ours {
		t.Errorf("%s: %v", p.ImportPath, err)
	}
	return checked
}

// importing finds packages. It implements types.Importer.
type importing func(path string) (*types.Package, error)

func (f importing) Import(path string) (*types.Package, error) { return f(path) }
