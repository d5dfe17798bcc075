package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/contain"
	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// A process that is configured in another way than those that were there before it is not ready and takes nothing; these go on, and take over what one of them leaves. When all of them are gone, or
// configured as it is, it is ready.
func TestLaterNodeYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fake.Mesh{}
		shared := func(c *cluster.Config) { c.Shared = []string{"namespaces.room", "namespaces.room.history.size: 5"} }
		a, b := startAs(t, m, "a", cluster.Handlers{}, shared), startAs(t, m, "b", cluster.Handlers{}, shared)
		wait(t, "both own something", func() bool { return a.cluster.Stats().Owned > 0 && b.cluster.Stats().Owned > 0 })
		time.Sleep(2 * time.Second)
		later := startAs(t, m, "c", cluster.Handlers{}, func(c *cluster.Config) { c.Shared = []string{"namespaces.room", "namespaces.room.history.size: 6"} })
		wait(t, "the later one is not ready", func() bool { return strings.Contains(later.cluster.Trouble(), "configured differently") })
		time.Sleep(time.Minute) // partitions would have moved by then
		if n := later.cluster.Stats().Owned; n != 0 || a.cluster.Trouble() != "" || b.cluster.Trouble() != "" {
			t.Errorf("the later one owns %d; the others: %q %q", n, a.cluster.Trouble(), b.cluster.Trouble())
		}
		m.Stop(a.session, true)
		wait(t, "the one that is left has taken over", func() bool { return b.cluster.Stats().Owned == partitions && b.cluster.Trouble() == "" })
		m.Stop(a.session, false)
		if err := a.cluster.Close(); err != nil {
			t.Error(err)
		}
		b.publish("room:1", "1")
		<-b.cluster.HandOver() // what there is is not lost, though the one that takes it is configured differently
		if err := b.cluster.Close(); err != nil {
			t.Error(err)
		}
		wait(t, "the later one is ready", func() bool { return later.cluster.Trouble() == "" })
		if at := later.publish("room:1", "2"); at.Seq != 2 {
			t.Errorf("it goes on at %v", at)
		}
	})
}

// A process of a version that does not list what it shares is compared by what that version says.
func TestVersionWithoutList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fake.Mesh{}
		a := startAs(t, m, "a", cluster.Handlers{}, func(c *cluster.Config) { c.Shared, c.Policy = []string{"namespaces.room"}, "p" })
		wait(t, "it is ready", func() bool { return a.cluster.Trouble() == "" })
		old, err := m.Open(strings.Repeat("A", 26), silent{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = old.Close() }()
		say := func(policy string) {
			if err := old.Announce(fmt.Appendf(nil, `{"session":%q,"node":"old","policy":%q,"moves":1}`, strings.Repeat("A", 26), policy)); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if say("p"); a.cluster.Trouble() != "" {
			t.Errorf("beside one that is configured alike: %s", a.cluster.Trouble())
		}
		if say("q"); a.cluster.Trouble() == "" {
			t.Error("ready beside one that is configured differently")
		}
	})
}

// silent is a process that does nothing with what it hears.
type silent struct{}

func (silent) Frame([]byte)               {}
func (silent) Announced([]byte)           {}
func (silent) Row(string, []byte, uint64) {}
func (silent) Loaded()                    {}

// A panic while it is asked what is different ends nothing.
func TestPanicInExplanation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		contain.Throw(func(where string) {
			if where == "differences" {
				panic("thrown at " + where)
			}
		})
		defer contain.Throw(nil)
		m := &fake.Mesh{}
		a := startAs(t, m, "a", cluster.Handlers{}, func(*cluster.Config) {})
		time.Sleep(3 * time.Second)
		b := startAs(t, m, "b", cluster.Handlers{}, func(c *cluster.Config) { c.Shared = []string{"namespaces.room"} })
		wait(t, "it is not ready", func() bool { return strings.Contains(b.cluster.Trouble(), "configured differently") })
		synctest.Wait()
		if a.cluster.Trouble() != "" || b.panics.Load() != 1 {
			t.Errorf("the other one: %q; %d panics", a.cluster.Trouble(), b.panics.Load())
		}
	})
}

// wait waits until something is so, in the time of a bubble.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}
