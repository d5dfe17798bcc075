package meshtest

import (
	"context"
	"errors"
	"fmt"
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

// unknown reports whether it is not known what became of a write: the servers have not answered, as they may on a busy machine.
func unknown(err error) bool {
	return err != nil && !errors.Is(err, mesh.ErrConflict) && !errors.Is(err, mesh.ErrFull)
}

// again calls f until it is known what has become of it.
func again(ctx context.Context, f func() error) error {
	err := f()
	for unknown(err) && ctx.Err() == nil {
		err = f()
	}
	return err
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, expected %v", what, got, want)
	}
}
