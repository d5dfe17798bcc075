package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// serving are the folders of which the process that serves is made.
var serving = []string{"batch", "broker", "pool", "relay", "cmd/weir", "internal/contain", "internal/pause", "internal/process", "internal/retry", "internal/safedial",
	"internal/sign", "internal/units", "internal/wire"}

// uncontained are the places that start something that package contain does not end the panics of, and why that is good.
var uncontained = map[string]string{
	"internal/contain/contain.go: go":                       "it is what contains",
	"internal/contain/contain.go: time.AfterFunc":           "it is what contains",
	"internal/contain/contain.go: context.AfterFunc":        "it is what contains",
	"broker/disk/compact.go: go":                            "a command of its own; nothing is served",
	"relay/relay.go: context.AfterFunc":                     "a context's own cancel",
	"relay/hub/hub.go: ants.NewPool":                        "likewise",
	"relay/session/manager.go: ants.NewPool":                "its workers are contained by its panic handler, and what is submitted by itself",
	"relay/session/manager.go: ants.NewPoolWithFuncGeneric": "likewise",
}

// TestGoroutinesAreContained refuses what starts a goroutine past package contain in what is part of a serving process, and
// a name that no test throws a panic at.
func TestGoroutinesAreContained(t *testing.T) {
	names, thrown, used := make(map[string]string), make(map[string]bool), make(map[string]bool)
	for _, dir := range serving {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "relaytest" {
				return filepath.SkipDir
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			files := token.NewFileSet()
			parsed, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if strings.HasSuffix(path, "_test.go") {
				literals(parsed, thrown)
				return nil
			}
			for _, s := range starts(parsed) {
				where := filepath.ToSlash(rel) + ": " + s.what
				if uncontained[where] == "" {
					t.Errorf("%s starts %s: start it with package contain, so that a panic does not end the process", files.Position(s.at), s.what)
				}
				used[where] = true
			}
			for name := range places(parsed) {
				names[name] = filepath.ToSlash(rel)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for where := range uncontained {
		if !used[where] {
			t.Errorf("%s is listed, and is not there", where)
		}
	}
	if len(names) < 40 {
		t.Errorf("only %d places found", len(names))
	}
	for name, path := range names {
		if !thrown[name] {
			t.Errorf("%s: no test throws a panic at %q", path, name)
		}
	}
}

// start is a place where a goroutine begins.
type start struct {
	what string
	at   token.Pos
}

// starts finds go statements, and calls of what starts goroutines: of wait groups and error groups, timers and pools.
func starts(file *ast.File) (list []start) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			list = append(list, start{"go", x.Pos()})
		case *ast.CallExpr:
			f, ok := x.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := f.X.(*ast.Ident)
			switch {
			case f.Sel.Name == "Go" && len(x.Args) == 1:
				list = append(list, start{"a group's Go", x.Pos()})
			case f.Sel.Name == "AfterFunc", of != nil && of.Name == "ants" && strings.HasPrefix(f.Sel.Name, "NewPool"):
				list = append(list, start{of.Name + "." + f.Sel.Name, x.Pos()})
			}
		}
		return true
	})
	return list
}

// places are the names under which a file starts goroutines and does units of work.
func places(file *ast.File) map[string]bool {
	found := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		x, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := x.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Go", "Loop", "Do", "After", "Upon", "Run", "work"}, f.Sel.Name) {
			return true
		}
		for _, a := range x.Args {
			if lit, ok := a.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if name, err := strconv.Unquote(lit.Value); err == nil && !strings.HasPrefix(name, "/") { // the path of a request
					found[name] = true
				}
			}
		}
		return true
	})
	return found
}

// literals gathers the strings of a test.
func literals(file *ast.File, into map[string]bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				into[s] = true
			}
		}
		return true
	})
}
