package fake_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/mesh"
	"weir/internal/mesh/fake"
	"weir/internal/mesh/meshtest"
)

// nothing is a handler that wants to know nothing. It implements mesh.Handler.
type nothing struct{}

func (nothing) Frame([]byte)               {}
func (nothing) Announced([]byte)           {}
func (nothing) Row(string, []byte, uint64) {}
func (nothing) Loaded()                    {}

func open(t *testing.T, m *fake.Mesh, session string) mesh.Node {
	t.Helper()
	n, err := m.Open(session, nothing{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// The mesh in memory keeps what every mesh does.
func TestStorage(t *testing.T) {
	m := &fake.Mesh{Room: 1 << 20}
	meshtest.Storage(t, open(t, m, "a"), open(t, m, "b"))
}

// An append whose answer is lost was made; one that is late is made when its writer does not know of it any more, unless somebody was there before.
func TestUnknownOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unsure, late := false, time.Duration(0)
		m := &fake.Mesh{Unsure: func(string) bool { return unsure }, Late: func(string) time.Duration { return late }}
		n, err := m.Open("a", nothing{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = n.Close() }()
		ctx, l := context.Background(), n.Log(0)
		if err := l.Make(ctx); err != nil {
			t.Fatal(err)
		}
		last := func() uint64 {
			_, last, err := l.Bounds(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return last
		}
		fails := func(after uint64) {
			t.Helper()
			if _, err := l.Append(ctx, []byte("x"), after); err == nil || errors.Is(err, mesh.ErrConflict) || errors.Is(err, mesh.ErrFull) {
				t.Fatalf("the outcome is known: %v", err)
			}
		}
		unsure = true
		fails(0)
		unsure = false
		if last() != 1 {
			t.Error("an append whose answer is lost was not made")
		}
		late = time.Second
		fails(1)
		if last() != 1 {
			t.Error("it was made at once")
		}
		time.Sleep(2 * time.Second)
		if last() != 2 {
			t.Error("it was not made later")
		}
		fails(2)
		late = 0
		if _, err := l.Append(ctx, []byte("fence"), 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if last() != 3 {
			t.Error("it was made behind a fence")
		}
	})
}
