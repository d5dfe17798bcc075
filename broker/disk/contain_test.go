package disk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/broker"
	"weir/broker/disk"
	"weir/broker/disk/memdisk"
	"weir/internal/contain"
)

// trap panics once at a place, if somebody has come to the place before it, when there is one.
type trap struct {
	mu     sync.Mutex
	before string // panics too, once
	at     string
	fired  int
}

func (x *trap) step(where string) {
	x.mu.Lock()
	fire := where == x.before || where == x.at && x.before == ""
	if where == x.before {
		x.before = ""
	} else if fire {
		x.at = ""
	}
	if fire {
		x.fired++
	}
	x.mu.Unlock()
	if fire {
		panic("thrown by the test at " + where)
	}
}

func (x *trap) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at == ""
}

// Apply implements broker.Subscriber.
func (x *trap) Apply(*broker.Change) { x.step("subscriber") }

// Reset implements broker.Subscriber.
func (x *trap) Reset(broker.Reply) {}

// soon waits for what must come.
func soon[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal(what + " does not come")
	}
	return v
}

// TestPanicOnDisk throws a panic into each part of the committer and the checkpointer. What was acknowledged is there after
// a crash, whoever is not told that it is stored is told that it is not, nobody waits for ever, and all goes on and ends.
func TestPanicOnDisk(t *testing.T) {
	atEnd := []string{"remove", "last checkpoint", "end of the log"}
	for _, at := range append([]string{"write", "sync", "create", "syncdir", "observe", "policy", "subscriber", "committer", "commit", "committer's file",
		"after a commit", "deferred change", "checkpointer", "checkpoint", "sweep of what is stored", "note in the ledger", "ledger"}, atEnd...) {
		t.Run(at, func(t *testing.T) {
			x := &trap{at: at}
			if at == "committer's file" { // which is given up after another
				x.before = "commit"
			}
			contain.Throw(x.step)
			defer contain.Throw(nil)
			var mu sync.Mutex
			panics := 0
			hook := func(string, any) { mu.Lock(); panics++; mu.Unlock() }
			policy := broker.Policy{Durable: true, AfterDisk: at == "deferred change" || at == "subscriber"}
			ask := func(string) broker.Policy { return policy }
			var opened atomic.Bool // what Open does itself is its caller's
			d := memdisk.New(func(op string) error {
				if opened.Load() {
					x.step(op)
				}
				return nil
			})
			config := disk.Config{Dir: t.TempDir(), FS: d, Interval: time.Millisecond, Sweep: 5 * time.Millisecond, Panic: hook,
				Policy:  func(string) broker.Policy { x.step("policy"); return policy },
				Observe: func(time.Duration) { x.step("observe") }}
			j, err := disk.Open(config)
			if err != nil {
				t.Fatal(err)
			}
			opened.Store(true)
			b, err := broker.New(broker.Config{Policy: ask, Store: j, Panic: hook, Subscriber: func(*broker.Channel) broker.Subscriber { return x }})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Join("c", broker.JoinRequest{}, nil); err != nil {
				t.Fatal(err)
			}
			var safe []string
			refused := 0
			for n := 0; len(safe) < 10 || !x.over() && !slices.Contains(atEnd, at); n++ {
				if n > 10000 {
					t.Fatalf("%d publications were taken, and nobody has come to %s", len(safe), at)
				}
				if len(safe) >= 10 && at == "ledger" { // it is written when nothing else is
					<-time.After(time.Millisecond)
					continue
				}
				key, done := fmt.Sprint("k", n), make(chan error, 1)
				go func() {
					_, err := b.Publish("c", &broker.Publication{Op: broker.Set, Key: key})
					done <- err
				}()
				switch err := soon(t, "the answer to a publisher", done); {
				case err == nil:
					safe = append(safe, key)
				case errors.Is(err, disk.ErrFailing), errors.Is(err, broker.ErrBroken):
					refused++
					<-time.After(time.Millisecond) // as a client would
				default:
					t.Fatal(err)
				}
			}
			if slices.Contains([]string{"write", "sync", "create", "syncdir", "commit"}, at) && refused == 0 {
				t.Error("nobody was told that it was not stored")
			}
			ended := make(chan error, 1)
			go func() { ended <- b.Close() }()
			if err := soon(t, "the end", ended); err != nil && at != "last checkpoint" && at != "remove" {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !x.over() || panics < x.fired {
				t.Errorf("%d panics, of which %d were told", x.fired, panics)
			}
			contain.Throw(nil)
			config.FS, config.Policy, config.Observe = d.Crash(rand.New(rand.NewPCG(1, 2))), nil, nil
			if j, err = disk.Open(config); err != nil {
				t.Fatal(err)
			}
			if b, err = broker.New(broker.Config{Policy: ask, Store: j}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }()
			reply, _ := b.Read("c", nil)
			for _, key := range safe {
				if !strings.Contains(string(reply.State), `"`+key+`"`) {
					t.Errorf("%s was acknowledged and is lost", key)
				}
			}
		})
	}
}
