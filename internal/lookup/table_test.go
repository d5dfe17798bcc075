package lookup

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

type thing struct{ name string }

type byName struct{}

func (byName) Key(t *thing) string { return t.name }

// A table says what a map would say, whatever is put in and taken out.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table[thing, byName]
		known := make(map[string]*thing)
		name := func(t *rapid.T) string {
			return fmt.Sprint(rapid.IntRange(0, rapid.SampledFrom([]int{3, 300}).Draw(t, "names")).Draw(t, "name"))
		}
		put := func(t *rapid.T) {
			o := &thing{name(t)}
			table.Put(o)
			known[o.name] = o
		}
		remove := func(t *rapid.T) {
			n := name(t)
			table.Remove(n)
			delete(known, n)
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": put,
			"put many": func(t *rapid.T) {
				for range 100 {
					put(t)
				}
			},
			"remove": remove,
			"remove many": func(t *rapid.T) {
				for range 100 {
					remove(t)
				}
			},
			"": func(t *rapid.T) {
				if table.Len() != len(known) {
					t.Fatalf("%d objects, want %d", table.Len(), len(known))
				}
				for i := range 302 {
					if n := fmt.Sprint(i); table.Find(n) != known[n] {
						t.Fatalf("%s is %v, want %v", n, table.Find(n), known[n])
					}
				}
				found := make(map[string]*thing)
				for o := range table.All() {
					found[o.name] = o
				}
				if !maps.Equal(found, known) {
					t.Fatalf("all are %v, want %v", found, known)
				}
			},
		})
	})
}

// Keys whose hashes are equal are told apart, and found when one of them has gone.
func TestEqualHashes(t *testing.T) {
	var table Table[thing, byName]
	for i := range 3 {
		table.Put(&thing{fmt.Sprint(i)})
	}
	all := slices.Collect(table.All())
	table.places, table.hashes = append(all, nil), make([]uint32, fewest) // as if all of them hashed to 0
	for i, o := range all {
		if at := table.place(o.name, 0); at != i {
			t.Errorf("%s is in place %d, want %d", o.name, at, i)
		}
	}
	if at := table.place("no such", 0); at != 3 {
		t.Errorf("a key that is not there would be in place %d", at)
	}
}

// What a table is for: it is smaller than a map, and gives memory back.
func TestTableIsSmall(t *testing.T) {
	const n = 10000
	objects := make([]*thing, n)
	for i := range objects {
		objects[i] = &thing{fmt.Sprint(i)}
	}
	var table Table[thing, byName]
	for _, o := range objects {
		table.Put(o)
	}
	if each := 12 * len(table.places) / n; each > 25 {
		t.Errorf("%d bytes an object", each)
	}
	for _, o := range objects[1:] {
		table.Remove(o.name)
	}
	if len(table.places) > keeping || table.Find("0") != objects[0] {
		t.Errorf("%d places are left for one object, which is %v", len(table.places), table.Find("0"))
	}
	table.Remove("0")
	if each := testing.AllocsPerRun(100, func() { table.Put(objects[0]); table.Remove("0") }); each > 0 {
		t.Errorf("%.0f objects are allocated where there is room", each)
	}
	runtime.KeepAlive(objects)
}

func BenchmarkFind(b *testing.B) {
	const n = 10000
	names := make([]string, n)
	var table Table[thing, byName]
	for i := range names {
		names[i] = fmt.Sprint("connection", i)
		table.Put(&thing{names[i]})
	}
	for i := 0; b.Loop(); i++ {
		if table.Find(names[i%n]) == nil {
			b.Fatal(i)
		}
	}
}
