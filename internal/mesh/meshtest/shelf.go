package meshtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"weir/internal/mesh"
)

func put(ctx context.Context, n mesh.Node, key, text string, expected uint64) (uint64, error) {
	return putAll(ctx, n, expected, mesh.Value{Key: key, Data: []byte(text)})
}

// putAll puts values, and finds out whether that was done when it is not known. Servers may refuse for a moment what would follow what stands there, while something else that
// names the key, such as a proof, is still being made.
func putAll(ctx context.Context, n mesh.Node, expected uint64, values ...mesh.Value) (uint64, error) {
	for unsure := false; ; {
		revision, err := n.Shelf().Put(ctx, expected, values...)
		switch {
		case err == nil:
			return revision, nil
		case ctx.Err() != nil:
			return 0, err
		case errors.Is(err, mesh.ErrConflict):
			last := values[len(values)-1]
			b, there, failed := n.Shelf().Get(ctx, last.Key)
			switch {
			case failed == nil && unsure && there > 0 && bytes.Equal(b, last.Data):
				return there, nil
			case failed != nil || there != expected:
				return 0, err
			}
		case !unknown(err):
			return 0, err
		default:
			unsure = true
		}
	}
}

func on(t *testing.T, ctx context.Context, n mesh.Node, key string) (string, uint64) {
	t.Helper()
	var b []byte
	var revision uint64
	if err := again(ctx, func() (err error) {
		b, revision, err = n.Shelf().Get(ctx, key)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return string(b), revision
}

func puts(t *testing.T, ctx context.Context, a, b mesh.Node) {
	if b, revision, err := a.Shelf().Get(ctx, "1.a"); err != nil || b != nil || revision != 0 {
		t.Fatalf("what is not there: %q, %d, %v", b, revision, err)
	}
	first, err := put(ctx, a, "1.a", "one", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(ctx, a, "1.b", "other", 0); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []uint64{0, first + 1000} {
		if _, err := put(ctx, b, "1.a", "two", wrong); !errors.Is(err, mesh.ErrConflict) {
			t.Errorf("put at %d, expecting %d: %v", first, wrong, err)
		}
	}
	second, err := put(ctx, b, "1.a", "two", first)
	if err != nil || second <= first {
		t.Fatalf("put: %d after %d, %v", second, first, err)
	}
	text, revision := on(t, ctx, a, "1.a")
	expect(t, "value and revision", []any{text, revision}, []any{"two", second})
	if _, err := put(ctx, a, "1.c", "", 0); err != nil {
		t.Fatal(err)
	}
	if b, revision, err := b.Shelf().Get(ctx, "1.c"); err != nil || b == nil || revision == 0 {
		t.Errorf("an empty value: %v, %d, %v", b, revision, err)
	}
}

// proves shows that only the last revision of a key can be proven.
func proves(t *testing.T, ctx context.Context, a, b mesh.Node) {
	prove := func(n mesh.Node, key string, revision uint64) error {
		return again(ctx, func() error { return n.Shelf().Prove(ctx, key, revision) })
	}
	if err := prove(a, "5.a", 0); err != nil {
		t.Errorf("there is no value: %v", err)
	}
	first, err := put(ctx, a, "5.a", "one", 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := put(ctx, a, "5.a", "two", first)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []uint64{0, first, second + 1} {
		if err := prove(b, "5.a", wrong); !errors.Is(err, mesh.ErrConflict) {
			t.Errorf("it has %d, and not %d: %v", second, wrong, err)
		}
	}
	if err := prove(b, "5.a", second); err != nil {
		t.Errorf("it has %d: %v", second, err)
	}
	text, revision := on(t, ctx, a, "5.a")
	expect(t, "value and revision afterwards", []any{text, revision}, []any{"two", second})
}

func putsAll(t *testing.T, ctx context.Context, a, b mesh.Node) {
	big := bytes.Repeat([]byte("y"), a.Shelf().Limit())
	values := []mesh.Value{{Key: "2.a.1", Data: big}, {Key: "2.a.2", Data: big}, {Key: "2.a", Data: []byte("head")}}
	first, err := putAll(ctx, a, 0, values...)
	if err != nil {
		t.Fatal(err)
	}
	text, revision := on(t, ctx, b, "2.a")
	expect(t, "head", []any{text, revision}, []any{"head", first})
	if b, _, err := b.Shelf().Get(ctx, "2.a.2"); err != nil || !bytes.Equal(b, big) {
		t.Errorf("a piece: %d bytes, %v", len(b), err)
	}
	values[0].Data, values[1].Data, values[2].Data = []byte("p"), []byte("q"), []byte("r")
	if _, err := putAll(ctx, b, first+1000, values...); !errors.Is(err, mesh.ErrConflict) {
		t.Fatalf("all of them, expecting another revision: %v", err)
	}
	if b, _, _ := b.Shelf().Get(ctx, "2.a.1"); !bytes.Equal(b, big) {
		t.Error("a piece was written, and the head was not")
	}
	if _, err := putAll(ctx, b, first, values...); err != nil {
		t.Fatal(err)
	}
	text, _ = on(t, ctx, a, "2.a.1")
	expect(t, "a piece", text, "p")
}

func drops(t *testing.T, ctx context.Context, a, b mesh.Node) {
	first, err := put(ctx, a, "3.a", "one", 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := put(ctx, a, "3.a", "two", first)
	if err != nil {
		t.Fatal(err)
	}
	if err := again(ctx, func() error { return b.Shelf().Drop(ctx, "3.a", first) }); err != nil {
		t.Fatal(err)
	}
	text, _ := on(t, ctx, a, "3.a")
	expect(t, "what was written since", text, "two")
	if err := again(ctx, func() error { return b.Shelf().Drop(ctx, "3.a", second) }); err != nil {
		t.Fatal(err)
	}
	text, revision := on(t, ctx, a, "3.a")
	expect(t, "what was dropped", []any{text, revision}, []any{"", 0})
	if _, err := put(ctx, a, "3.a", "anew", 0); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, ctx context.Context, a, b mesh.Node) {
	for _, key := range []string{"4.a", "4.b", "4.b.1", "44.c"} {
		if _, err := put(ctx, a, key, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	var list []string
	err := b.Shelf().Keys(ctx, "4", func(key string) error {
		list = append(list, key)
		return nil
	})
	slices.Sort(list)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "keys", list, "[4.a 4.b 4.b.1]")
}
