package meshtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/mesh"
)

func mustAppend(t *testing.T, ctx context.Context, l mesh.Log, text string, last uint64) uint64 {
	t.Helper()
	n, err := appendOnce(ctx, l, text, last)
	if err != nil {
		t.Fatalf("append %.20s after %d: %v", text, last, err)
	}
	return n
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
