package cluster_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// ledger is a merger that keeps what it is told.
type ledger struct {
	mu    sync.Mutex
	own   map[string]string // by key
	whole map[string]string // by key: what all say
	anew  int               // parts that came up with a new owner, and were not known before
}

// Each implements cluster.Merger.
func (l *ledger) Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, value := range l.own {
		if of(key) {
			tell(key, "n", time.Time{}, []byte(value))
		}
	}
}

// Opened implements cluster.Merger.
func (l *ledger) Opened(func(key string) bool) {}

// merged is a merger whose lock is not the one of Each: a part is reported with that one held.
type merged struct {
	*ledger
	mu *sync.Mutex
}

// Merge implements cluster.Merger.
func (m merged) Merge(key, _ string, parts []cluster.Part, why cluster.Why) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var values []string
	for _, p := range parts {
		values = append(values, string(p.Value))
	}
	slices.Sort(values)
	if m.whole[key] == "" && !why.Known {
		m.anew++
	}
	if m.whole[key] = strings.Join(values, " "); m.whole[key] == "" {
		delete(m.whole, key)
	}
}

// Lost implements cluster.Merger.
func (m merged) Lost(of func(key string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.whole, func(key, _ string) bool { return of(key) })
}

// Whatever frames are lost and whoever goes, owners know in the end what all nodes say.
func TestPartsOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		var losing atomic.Bool
		var dead atomic.Value
		dead.Store("nobody")
		m := &fake.Mesh{Lose: func(from, to string, b []byte) bool {
			return from == dead.Load() || to == dead.Load() || losing.Load() && !json.Valid(b) && count.Add(1)%5 == 0
		}}
		var nodes []*node
		var ledgers []merged
		for i := range 3 {
			l := merged{&ledger{own: make(map[string]string), whole: make(map[string]string)}, new(sync.Mutex)}
			ledgers = append(ledgers, l)
			nodes = append(nodes, startWith(t, m, fmt.Sprintf("node-%d", i), cluster.Handlers{Mergers: map[string]cluster.Merger{"k": l}}))
		}
		time.Sleep(4 * time.Second)
		report := func(i int, key, value string) {
			l := ledgers[i]
			l.ledger.mu.Lock()
			defer l.ledger.mu.Unlock()
			if value == "" {
				delete(l.own, key)
				nodes[i].cluster.Report("k", key, "n", nil, false)
				return
			}
			l.own[key] = value
			nodes[i].cluster.Report("k", key, "n", []byte(value), false)
		}
		check := func(when string, here ...int) {
			t.Helper()
			want := make(map[string]string)
			for _, i := range here {
				for key, value := range ledgers[i].own {
					want[key] = strings.TrimSpace(want[key] + " " + value)
				}
			}
			for key, value := range want {
				list := strings.Fields(value)
				slices.Sort(list)
				want[key] = strings.Join(list, " ")
			}
			got := make(map[string]string)
			for _, i := range here {
				ledgers[i].mu.Lock()
				for key, value := range ledgers[i].whole {
					if got[key] != "" {
						t.Errorf("%s: two nodes put %s together", when, key)
					}
					got[key] = value
				}
				ledgers[i].mu.Unlock()
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s: owners know\n%v\nnodes say\n%v", when, got, want)
			}
		}
		losing.Store(true)
		for i := range 600 {
			value := fmt.Sprintf("%d-%d", i%3, i)
			if i%4 == 3 {
				value = ""
			}
			report(i%3, fmt.Sprint("key:", i*7%20), value)
			time.Sleep(5 * time.Millisecond)
		}
		losing.Store(false)
		time.Sleep(5 * time.Second)
		check("after losses", 0, 1, 2)
		for _, l := range ledgers {
			l.mu.Lock()
			l.anew = 0
			l.mu.Unlock()
		}
		dead.Store(nodes[0].session)
		time.Sleep(6 * time.Second)
		check("without a node", 1, 2)
		if n := ledgers[1].anew + ledgers[2].anew; n != 0 {
			t.Errorf("%d parts came as if they were new", n)
		}
		dead.Store("nobody")
		m.Heal()
		time.Sleep(6 * time.Second)
		check("with it again", 0, 1, 2)
	})
}
