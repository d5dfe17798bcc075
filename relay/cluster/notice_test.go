package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// acts is what a node has acted on.
type acts struct {
	mu     sync.Mutex
	list   []string
	missed []time.Time
}

func (a *acts) handlers() cluster.Handlers {
	return cluster.Handlers{
		Actors: map[string]cluster.Actor{"act": func(body []byte, late time.Time) []byte {
			a.mu.Lock()
			defer a.mu.Unlock()
			text := string(body)
			if !late.IsZero() {
				text += " late"
			}
			a.list = append(a.list, text)
			return []byte("done")
		}},
		Missed: func(since time.Time) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.missed = append(a.missed, since)
		},
	}
}

func (a *acts) take() (list []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, a.list = a.list, nil
	slices.Sort(list)
	return list
}

// dead is sessions that hear nobody and are not heard.
type dead struct {
	mu   sync.Mutex
	list []string
}

func (d *dead) set(list ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = list
}

func (d *dead) lose(from, to string, _ []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.list, from) || slices.Contains(d.list, to)
}

// A notice reaches every node once: one that is not heard for a while gets it when it is, from whoever has it. One that finds that some are forgotten
// is told so.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(dead)
		m := &fake.Mesh{Lose: d.lose}
		var nodes []*node
		var of []*acts
		join := func() {
			a := new(acts)
			of = append(of, a)
			nodes = append(nodes, startWith(t, m, fmt.Sprint("node-", len(nodes)), a.handlers()))
		}
		for range 3 {
			join()
		}
		time.Sleep(4 * time.Second)
		want := func(when string, lists ...string) {
			t.Helper()
			for i, w := range lists {
				if got := fmt.Sprint(of[i].take()); got != w {
					t.Errorf("%s: node %d has acted on %s, want %s", when, i, got, w)
				}
			}
		}
		out := nodes[1].cluster.Notify("act", []byte("1"), true)
		if len(out.Answers) != 3 || len(out.Silent) != 0 || string(out.Answers["node-2"]) != "done" {
			t.Errorf("%v", out)
		}
		want("all there", "[1]", "[1]", "[1]")

		d.set(nodes[2].session)
		time.Sleep(4 * time.Second)
		out = nodes[0].cluster.Notify("act", []byte("2"), true)
		if len(out.Answers) != 2 || fmt.Sprint(out.Silent) != "[node-2]" {
			t.Errorf("with a node cut off: %v", out)
		}
		nodes[0].cluster.Notify("act", []byte("3"), false)
		time.Sleep(70 * time.Second)
		d.set(nodes[0].session) // who made them is not there any more
		m.Heal()
		time.Sleep(4 * time.Second)
		want("caught up", "[2 3]", "[2 3]", "[2 late 3 late]")

		// One that comes later has nothing to do with them.
		join()
		d.set()
		m.Heal()
		time.Sleep(4 * time.Second)
		want("joined", "[]", "[]", "[]", "[]")
		out = nodes[3].cluster.Notify("act", []byte("4"), true)
		if len(out.Answers) != 4 {
			t.Errorf("with a new node: %v", out)
		}
		want("joined", "[4]", "[4]", "[4]", "[4]")

		d.set(nodes[2].session)
		time.Sleep(4 * time.Second)
		nodes[0].cluster.Notify("act", []byte("5"), false)
		made := time.Now()
		time.Sleep(10*time.Minute + 10*time.Second)
		nodes[0].cluster.Notify("act", []byte("6"), false)
		d.set()
		m.Heal()
		time.Sleep(4 * time.Second)
		want("too late", "[5 6]", "[5 6]", "[6 late]", "[5 6]")
		of[2].mu.Lock()
		defer of[2].mu.Unlock()
		if len(of[2].missed) != 1 || of[2].missed[0].Before(made) {
			t.Errorf("missed since %v, one was made at %v", of[2].missed, made)
		}
		if len(of[0].missed)+len(of[1].missed)+len(of[3].missed) > 0 {
			t.Error("others have missed some")
		}
	})
}

// Many notices at once on all nodes, with frames lost: each is acted on once, everywhere.
func TestManyNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var mu sync.Mutex
		losing := true
		m := &fake.Mesh{Lose: func(_, _ string, b []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			n++
			return losing && len(b) > 0 && b[0] == 1 && n%4 == 0 // a frame, no hello
		}}
		var nodes []*node
		var of []*acts
		for i := range 3 {
			a := new(acts)
			of = append(of, a)
			nodes = append(nodes, startWith(t, m, fmt.Sprint("node-", i), a.handlers()))
		}
		time.Sleep(4 * time.Second)
		var want []string
		for i := range 300 {
			text := fmt.Sprint(i)
			want = append(want, text)
			nodes[i%3].cluster.Notify("act", []byte(text), false)
			time.Sleep(time.Millisecond)
		}
		slices.Sort(want)
		time.Sleep(10 * time.Second)
		mu.Lock()
		losing = false
		mu.Unlock()
		time.Sleep(10 * time.Second)
		for i, a := range of {
			got := a.take()
			for k, text := range got {
				got[k] = strings.TrimSuffix(text, " late")
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("node %d has acted on %d of %d: %v", i, len(got), len(want), got)
			}
		}
	})
}
