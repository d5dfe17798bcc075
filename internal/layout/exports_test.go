package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// unusedExports are exported names that no other package uses, and why they are exported all the same.
var unusedExports = map[string]string{
	"batch: field Config.MaxWaiting":       "a bound that the relay leaves as it is",
	"broker.Breaker":                       "a Subscriber may have it",
	"broker.ErrAck":                        "of Publish, as the errors beside it are",
	"broker.Limiter":                       "a Subscriber may have it",
	"broker: method Confirm":               "of a Store, which the broker itself calls",
	"broker.Memory":                        "the journal that a configuration without one gets",
	"loadtest: field Progress.ServerBytes": "of what a display of one's own may show",
	"pool.ErrClosed":                       "of Conn.Send, as ErrSlow is",
	"pool: field Config.Stall":             "a bound that the relay leaves as it is",
}

// TestExportsAreUsed refuses exported names of packages, and of their types' methods and fields, that nothing outside of the
// package mentions: they are unexported or deleted. A method or field counts as used if its name is selected or set anywhere else, a field also
// if a tag says who reads it.
func TestExportsAreUsed(t *testing.T) {
	type source struct {
		dir, pkg string
		file     *ast.File
	}
	var sources []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && name != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		if strings.HasSuffix(file.Name.Name, "_test") {
			sources = append(sources, source{dir + "_test", file.Name.Name, file}) // sees its package from outside
		} else {
			sources = append(sources, source{dir, strings.TrimSuffix(path.Base(name), ".go"), file})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	used := make(map[string]bool)     // "dir.Name", by way of an import
	said := make(map[string][]string) // names that are selected, or keys of literals, and in which folders
	for _, s := range sources {
		imports := make(map[string]string)
		for _, i := range s.file.Imports {
			of, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if of, ours := strings.CutPrefix(of, "weir/"); ours {
				name := path.Base(of)
				if i.Name != nil {
					name = i.Name.Name
				}
				imports[name] = of
			}
		}
		mention := func(name string) {
			if token.IsExported(name) && !slices.Contains(said[name], s.dir) {
				said[name] = append(said[name], s.dir)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.SelectorExpr:
				if of, ok := x.X.(*ast.Ident); ok && imports[of.Name] != "" {
					used[imports[of.Name]+"."+x.Sel.Name] = true
				}
				mention(x.Sel.Name)
			case *ast.KeyValueExpr:
				if key, ok := x.Key.(*ast.Ident); ok {
					mention(key.Name)
				}
			case *ast.InterfaceType: // what satisfies it is called by way of it
				for _, m := range x.Methods.List {
					for _, name := range m.Names {
						mention(name.Name)
					}
				}
			}
			return true
		})
	}

	// What an exported signature or field is made of is exported with it.
	shown := make(map[string]bool)
	show := func(dir string, n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if _, body := n.(*ast.BlockStmt); body {
				return false
			}
			if name, ok := n.(*ast.Ident); ok {
				shown[dir+"."+name.Name] = true
			}
			return true
		})
	}
	for _, s := range sources {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() {
					show(s.dir, d.Type)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch x := spec.(type) {
					case *ast.TypeSpec:
						if x.Name.IsExported() {
							show(s.dir, x.Type)
						}
					case *ast.ValueSpec:
						if x.Names[0].IsExported() && x.Type != nil {
							show(s.dir, x.Type)
						}
					}
				}
			}
		}
	}

	found := make(map[string]bool)
	for _, s := range sources {
		if strings.HasSuffix(s.dir, "_test") || strings.HasSuffix(s.pkg, "_test") || s.file.Name.Name == "main" || !slices.ContainsFunc(exporting, func(dir string) bool { return under(s.dir, dir) }) {
			continue
		}
		top := func(name string) {
			if ofSystem := path.Dir(s.dir) == "relay/systems" && (name == "Name" || name == "Namespace"); ofSystem { // each has them
				return
			}
			if token.IsExported(name) && !used[s.dir+"."+name] && !shown[s.dir+"."+name] {
				found[s.dir+"."+name] = true
			}
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					top(d.Name.Name)
					continue
				}
				name := d.Name.Name
				elsewhere := slices.ContainsFunc(said[name], func(dir string) bool { return dir != s.dir })
				if token.IsExported(name) && !elsewhere && !slices.Contains(byInterface, name) {
					found[s.dir+": method "+name] = true
				}
			case *ast.GenDecl:
				if d.Tok == token.CONST && slices.ContainsFunc(d.Specs, func(spec ast.Spec) bool {
					return used[s.dir+"."+spec.(*ast.ValueSpec).Names[0].Name]
				}) {
					continue // a set of values, of which some are used
				}
				for _, spec := range d.Specs {
					switch x := spec.(type) {
					case *ast.TypeSpec:
						top(x.Name.Name)
						if of, ok := x.Type.(*ast.StructType); ok && x.Name.IsExported() {
							for _, field := range of.Fields.List {
								for _, name := range field.Names {
									elsewhere := slices.ContainsFunc(said[name.Name], func(dir string) bool { return dir != s.dir })
									if name.IsExported() && field.Tag == nil && !elsewhere {
										found[s.dir+": field "+x.Name.Name+"."+name.Name] = true
									}
								}
							}
						}
					case *ast.ValueSpec:
						for _, name := range x.Names {
							top(name.Name)
						}
					}
				}
			}
		}
	}
	for name := range found {
		if unusedExports[name] == "" {
			t.Errorf("%s is exported, and nothing outside of its package uses it", name)
		}
	}
	for name := range unusedExports {
		if !found[name] {
			t.Errorf("%s is listed as unused, and is used or gone", name)
		}
	}
}

// exporting are the folders whose exports have to be used.
var exporting = []string{"batch", "broker", "pool", "internal", "loadtest", "relay"}

// byInterface are methods that interfaces of libraries call.
var byInterface = []string{"Error", "Temporary", "Unwrap", "Is", "As", "String", "Read", "Write", "Close", "Len", "Less", "Swap", "Push", "Pop", "Format", "LogValue",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "MarshalYAML", "UnmarshalYAML", "ServeHTTP", "RoundTrip", "Accept", "Addr", "Network", "Handle", "Enabled", "WithAttrs", "WithGroup",
	"OnOpen", "OnPing", "OnPong", "OnMessage", "Noticef", "Warnf", "Errorf", "Fatalf", "Debugf", "Tracef"}
