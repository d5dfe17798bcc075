package meshtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/mesh"
)

// storageLimit is how long a test of a log or a shelf may take.
const storageLimit = time.Minute

// Storage holds the logs and the shelf of a mesh against what they promise. a and b are two processes of it; logs hold 1 MiB.
func Storage(t *testing.T, a, b mesh.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), storageLimit)
	t.Cleanup(cancel)
	t.Run("Absent", func(t *testing.T) { absent(t, ctx, a) })
	for _, n := range []mesh.Node{a, b} { // which are the same
		made(t, ctx, n.Shelf().Make)
		for i := range logs {
			made(t, ctx, n.Log(i).Make)
		}
	}
	for _, x := range []struct {
		name string
		test func(*testing.T, context.Context, mesh.Node, mesh.Node)
	}{
		{"Append", appends}, {"Fence", fences}, {"Read", reads}, {"Purge", purges}, {"Full", fills}, {"Logs", apart},
		{"Put", puts}, {"PutAll", putsAll}, {"Prove", proves}, {"Drop", drops}, {"Keys", keys},
	} {
		t.Run(x.name, func(t *testing.T) { x.test(t, ctx, a, b) })
	}
}

// logs is how many logs are made.
const logs = 8

// made has something made as soon as the servers are there.
func made(t *testing.T, ctx context.Context, f func(context.Context) error) {
	t.Helper()
	err := f(ctx)
	for ; err != nil; err = f(ctx) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the servers are not reached: ", err)
		}
	}
}

// absent shows that what was not made is not read as something empty, and not made by being written to.
func absent(t *testing.T, ctx context.Context, n mesh.Node) {
	l := n.Log(logs)
	for _, x := range []struct {
		what string
		call func() error
	}{
		{"bounds", func() error { _, _, err := l.Bounds(ctx); return err }},
		{"get", func() error { _, _, err := n.Shelf().Get(ctx, "1.a"); return err }},
		{"keys", func() error { return n.Shelf().Keys(ctx, "1", func(string) error { return nil }) }},
		{"purge", func() error { return l.Purge(ctx, 1) }},
	} {
		err := x.call()
		for err != nil && !errors.Is(err, mesh.ErrAbsent) && ctx.Err() == nil { // the servers are not there yet
			<-time.After(5 * time.Millisecond)
			err = x.call()
		}
		if !errors.Is(err, mesh.ErrAbsent) {
			t.Errorf("%s of what was not made: %v", x.what, err)
		}
	}
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := l.Append(within, []byte("x"), 0); err == nil || errors.Is(err, mesh.ErrConflict) {
		t.Errorf("append to what was not made: %v", err)
	}
	if err := l.Read(within, 1, 1, func(uint64, time.Time, []byte) error { return nil }); err == nil {
		t.Error("what was not made was read")
	}
}

func mustAppend(t *testing.T, ctx context.Context, l mesh.Log, text string, last uint64) uint64 {
	t.Helper()
	n, err := appendOnce(ctx, l, text, last)
	if err != nil {
		t.Fatalf("append %.20s after %d: %v", text, last, err)
	}
	return n
}

// unknown reports whether it is not known what became of a write: the servers have not answered, as they may on a busy machine.
func unknown(err error) bool {
	return err != nil && !errors.Is(err, mesh.ErrConflict) && !errors.Is(err, mesh.ErrFull)
}

// appendOnce appends a message, and finds out whether it was made when that is not known.
func appendOnce(ctx context.Context, l mesh.Log, text string, last uint64) (uint64, error) {
	n, err := l.Append(ctx, []byte(text), last)
	for unknown(err) && ctx.Err() == nil {
		if n, err = l.Append(ctx, []byte(text), last); errors.Is(err, mesh.ErrConflict) {
			_ = l.Read(ctx, last+1, last+1, func(number uint64, _ time.Time, m []byte) error {
				if string(m) == text {
					n, err = number, nil
				}
				return nil
			})
		}
	}
	return n, err
}

// again calls f until it is known what has become of it.
func again(ctx context.Context, f func() error) error {
	err := f()
	for unknown(err) && ctx.Err() == nil {
		err = f()
	}
	return err
}

// contents are a log's messages from one number to another.
func contents(t *testing.T, ctx context.Context, l mesh.Log, from, to uint64) (list []string) {
	t.Helper()
	before := time.Time{}
	err := l.Read(ctx, from, to, func(n uint64, at time.Time, m []byte) error {
		if at.Before(before) {
			t.Errorf("message %d is of %v, and the one before of %v", n, at, before)
		}
		before = at
		list = append(list, fmt.Sprint(n, "=", string(m)))
		return nil
	})
	if err != nil {
		t.Fatalf("read %d to %d: %v", from, to, err)
	}
	return list
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, expected %v", what, got, want)
	}
}

func appends(t *testing.T, ctx context.Context, a, b mesh.Node) {
	first, last, err := b.Log(1).Bounds(ctx)
	if err != nil || first != last+1 || last != 0 {
		t.Fatalf("bounds of a log that is not there: %d, %d, %v", first, last, err)
	}
	expect(t, "number", mustAppend(t, ctx, a.Log(1), "one", 0), 1)
	expect(t, "number", mustAppend(t, ctx, b.Log(1), "two", 1), 2)
	for _, wrong := range []uint64{0, 1, 3} {
		n, err := appendOnce(ctx, a.Log(1), "three", wrong)
		if !errors.Is(err, mesh.ErrConflict) || n != 0 && n != 2 {
			t.Errorf("append after %d, which is not the last: %d, %v", wrong, n, err)
		}
	}
	mustAppend(t, ctx, a.Log(1), "three", 2)
	expect(t, "contents", contents(t, ctx, b.Log(1), 1, 3), "[1=one 2=two 3=three]")
}

// fences shows that who has appended last at a number is the only one that goes on from there.
func fences(t *testing.T, ctx context.Context, a, b mesh.Node) {
	mine := mustAppend(t, ctx, a.Log(2), "of a", 0)
	fence := mustAppend(t, ctx, b.Log(2), "fence", mine)
	if _, err := appendOnce(ctx, a.Log(2), "stale", mine); !errors.Is(err, mesh.ErrConflict) {
		t.Fatalf("a writer that was fenced appends: %v", err)
	}
	mustAppend(t, ctx, b.Log(2), "of b", fence)
	expect(t, "contents", contents(t, ctx, a.Log(2), 1, 3), "[1=of a 2=fence 3=of b]")
}

func reads(t *testing.T, ctx context.Context, a, b mesh.Node) {
	l, last := a.Log(3), uint64(0)
	for i := range 700 {
		last = mustAppend(t, ctx, l, fmt.Sprint("m", i), last)
	}
	expect(t, "all", len(contents(t, ctx, b.Log(3), 1, last)), 700)
	expect(t, "some", contents(t, ctx, b.Log(3), 698, 699), "[698=m697 699=m698]")
	expect(t, "none", contents(t, ctx, b.Log(3), 5, 4), "[]")
	wrong := errors.New("enough")
	if err := l.Read(ctx, 1, last, func(uint64, time.Time, []byte) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("an error of the reader: %v", err)
	}
	came := make(chan []string)
	go func() { // ended by what is appended below
		var list []string
		_ = b.Log(3).Read(ctx, last, last+1, func(n uint64, _ time.Time, m []byte) error {
			list = append(list, string(m))
			return nil
		})
		came <- list
	}()
	mustAppend(t, ctx, l, "later", last)
	expect(t, "what is waited for", <-came, "[m699 later]")
}

func purges(t *testing.T, ctx context.Context, a, b mesh.Node) {
	l, last := a.Log(4), uint64(0)
	for i := range 5 {
		last = mustAppend(t, ctx, l, fmt.Sprint(i), last)
	}
	if err := again(ctx, func() error { return l.Purge(ctx, 3) }); err != nil {
		t.Fatal(err)
	}
	expect(t, "what is left", contents(t, ctx, b.Log(4), 1, 5), "[4=3 5=4]")
	if err := again(ctx, func() error { return l.Purge(ctx, 5) }); err != nil {
		t.Fatal(err)
	}
	expect(t, "nothing is left", contents(t, ctx, b.Log(4), 2, 5), "[]")
	first, last, err := b.Log(4).Bounds(ctx)
	if err != nil || first != 6 || last != 5 {
		t.Errorf("bounds of an empty log: %d, %d, %v", first, last, err)
	}
	expect(t, "numbers go on", mustAppend(t, ctx, b.Log(4), "next", 5), 6)
}

func fills(t *testing.T, ctx context.Context, a, _ mesh.Node) {
	l, last := a.Log(5), uint64(0)
	text := strings.Repeat("x", 100<<10)
	for range 20 {
		n, err := appendOnce(ctx, l, text, last)
		if errors.Is(err, mesh.ErrFull) {
			if err := again(ctx, func() error { return l.Purge(ctx, last) }); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, ctx, l, text, last)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		last = n
	}
	t.Error("2 MiB have room in a log of 1 MiB")
}

func apart(t *testing.T, ctx context.Context, a, b mesh.Node) {
	mustAppend(t, ctx, a.Log(6), "six", 0)
	mustAppend(t, ctx, b.Log(7), "seven", 0)
	expect(t, "contents", contents(t, ctx, b.Log(6), 1, 1), "[1=six]")
}

func put(ctx context.Context, n mesh.Node, key, text string, expected uint64) (uint64, error) {
	return putAll(ctx, n, expected, mesh.Value{Key: key, Data: []byte(text)})
}

// putAll puts values, and finds out whether that was done when it is not known.
func putAll(ctx context.Context, n mesh.Node, expected uint64, values ...mesh.Value) (uint64, error) {
	revision, err := n.Shelf().Put(ctx, expected, values...)
	for unknown(err) && ctx.Err() == nil {
		if revision, err = n.Shelf().Put(ctx, expected, values...); errors.Is(err, mesh.ErrConflict) {
			last := values[len(values)-1]
			if b, there, failed := n.Shelf().Get(ctx, last.Key); failed == nil && there > 0 && bytes.Equal(b, last.Data) {
				revision, err = there, nil
			}
		}
	}
	return revision, err
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
