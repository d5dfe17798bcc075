package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// script is what one goroutine of the concurrent test does.
type script struct {
	publishes []Publication
	joins     []bool // one for each stay: whether it resumes where the last one ended
}

// TestConcurrentModel lets publishers, readers who come and go, expiry and clearing loose on one
// channel. Whatever the interleaving, each reader's reply and stream together must be contiguous,
// unique and ordered, agree with every other reader's, and add up to the state that is read at the end.
func TestConcurrentModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scripts := rapid.SliceOfN(rapid.Custom(drawScript), 2, 5).Draw(t, "scripts")
		cleared := rapid.IntRange(0, 2).Draw(t, "clears")
		policy := Policy{History: rapid.SampledFrom([]int{-1, 3, 1000}).Draw(t, "history")}
		b, err := New(Config{Policy: always(policy), Subscriber: newRecorder})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()

		var running sync.WaitGroup
		viewers := make([]*viewer, len(scripts))
		for i, s := range scripts {
			viewers[i] = &viewer{b: b}
			running.Go(func() {
				for _, p := range s.publishes {
					if _, err := b.Publish("room:1", &p); err != nil {
						viewers[i].fail("publish: %v", err)
					}
				}
			})
			running.Go(func() {
				for _, resume := range s.joins {
					viewers[i].stay(resume)
				}
			})
		}
		running.Go(func() {
			for range cleared {
				b.Clear("room:1")
				_, _ = b.Channels("", "", 0)
				b.History("room:1", 0, 5)
			}
		})
		running.Wait()

		log := make(map[Position]string)
		for _, v := range viewers {
			if v.err != nil {
				t.Fatal(v.err)
			}
			for at, encoded := range v.seen {
				if log[at] == "" {
					log[at] = encoded
				}
				if log[at] != encoded {
					t.Fatalf("two changes at %v: %s and %s", at, log[at], encoded)
				}
			}
		}
	})
}

func drawScript(t *rapid.T) script {
	publication := rapid.Custom(func(t *rapid.T) Publication {
		return Publication{
			Op:    rapid.SampledFrom([]Op{Set, Set, Delete, Send}).Draw(t, "op"),
			Group: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group"),
			Key:   rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "key"),
			Data:  fmt.Append(nil, rapid.IntRange(0, 1000).Draw(t, "data")),
			TTL:   time.Duration(rapid.SampledFrom([]int{0, 0, 20, 300}).Draw(t, "ttl")) * time.Microsecond,
		}
	})
	return script{
		publishes: rapid.SliceOfN(publication, 0, 40).Draw(t, "publishes"),
		joins:     rapid.SliceOfN(rapid.Bool(), 0, 12).Draw(t, "joins"),
	}
}

// viewer is a client that comes and goes, and remembers where it stood and what it knows.
type viewer struct {
	b     *Broker
	at    *Position
	items map[string]string
	seen  map[Position]string
	err   error
}

func (v *viewer) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
}

// stay joins, reads along for a while, leaves and checks what it got.
func (v *viewer) stay(resume bool) {
	var request JoinRequest
	if resume {
		request.From = v.at
	}
	var got reader
	var reply Reply
	var subscriber *recorder
	c, err := v.b.Join("room:1", request, func(s Subscriber, r Reply) {
		reply, subscriber = r, s.(*recorder)
		subscriber.add(&got)
	})
	if err != nil {
		v.fail("join: %v", err)
		return
	}
	for range 3 {
		if _, err := v.b.Publish("room:1", &Publication{Op: Set, Group: "mine", Key: "k", Data: []byte(`1`)}); err != nil {
			v.fail("publish: %v", err)
		}
	}
	// In one critical section: what the items are, and the end of the stream that led there.
	c.mu.Lock()
	end, state := c.position(), string(c.state(part{}))
	subscriber.drop(&got)
	c.mu.Unlock()
	c.Leave()
	v.follow(request, reply, &got)
	if *v.at != end {
		v.fail("stream ends at %v, channel at %v", *v.at, end)
	}
	want, err := flatten(state)
	if err != nil || !maps.Equal(v.items, want) {
		v.fail("items %v, want %v (%v)", v.items, want, err)
	}
}

// follow applies reply and stream as a client does.
func (v *viewer) follow(request JoinRequest, reply Reply, got *reader) {
	if reply.Recovered {
		missed, err := parse[[]wire](reply.Changes)
		if err != nil {
			v.fail("%v", err)
		}
		if request.From.Epoch != reply.Position.Epoch {
			v.fail("recovered from %v to %v", *request.From, reply.Position)
		}
		for _, change := range missed {
			v.apply(change)
		}
		if *v.at != reply.Position {
			v.fail("recovered up to %v, said %v", *v.at, reply.Position)
		}
	} else {
		v.start(reply)
	}
	resets := got.resets
	for i, encoded := range got.changes {
		for len(resets) > 0 && got.resetAt[len(got.resets)-len(resets)] <= i {
			v.start(resets[0])
			resets = resets[1:]
		}
		change, err := parse[wire](encoded)
		if err != nil {
			v.fail("%v", err)
		}
		v.apply(change)
	}
	for _, r := range resets {
		v.start(r)
	}
}

func (v *viewer) start(r Reply) {
	items, err := flatten(string(r.State))
	if err != nil {
		v.fail("%v", err)
	}
	at := r.Position
	v.at, v.items = &at, items
}

func (v *viewer) apply(change wire) {
	if change.Seq != v.at.Seq+1 {
		v.fail("seq %d after %v", change.Seq, *v.at)
	}
	v.at = &Position{v.at.Epoch, change.Seq}
	if v.seen == nil {
		v.seen = make(map[Position]string)
	}
	v.seen[*v.at] = fmt.Sprint(change)
	v.items = maps.Clone(v.items)
	switch name := change.Group + "/" + change.Key; change.Op {
	case "set":
		v.items[name] = string(change.Data)
	case "delete":
		if _, ok := v.items[name]; !ok {
			v.fail("deleted %s, which is not there", name)
		}
		delete(v.items, name)
	}
}

func flatten(state string) (map[string]string, error) {
	groups, err := parse[map[string]map[string]int]([]byte(state))
	items := make(map[string]string)
	for group, keys := range groups {
		for key, data := range keys {
			items[group+"/"+key] = fmt.Sprint(data)
		}
	}
	return items, err
}

// Many users come and go while others publish to them: channels are made and freed all the time, and
// no change is lost on the way to somebody who is there.
func TestConcurrentFreeing(t *testing.T) {
	b := open(t, Config{Subscriber: newRecorder, Policy: always(Policy{History: -1})})
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for i := range 500 {
				name := fmt.Sprint("user:", (worker+i)%3)
				var got reader
				var reply Reply
				var subscriber *recorder
				c, err := b.Join(name, JoinRequest{}, func(s Subscriber, r Reply) {
					reply, subscriber = r, s.(*recorder)
					subscriber.add(&got)
				})
				if err != nil {
					t.Error(err)
					return
				}
				at, err := b.Publish(name, &Publication{Op: Send, Data: []byte(`1`)})
				if err != nil || at.Epoch != reply.Position.Epoch {
					t.Errorf("published at %v after %v: %v", at, reply.Position, err)
				}
				subscriber.drop(&got)
				c.Leave()
				if !slices.ContainsFunc(got.changes, func(encoded []byte) bool {
					return strings.Contains(string(encoded), fmt.Sprintf(`"seq":%d,`, at.Seq))
				}) {
					t.Errorf("%v was not delivered", at)
				}
				_, _ = b.Publish(name, &Publication{Op: Send}) // perhaps to nobody
			}
		})
	}
	running.Wait()
	if stats := b.Stats(); stats != (Stats{}) {
		t.Errorf("left over: %+v", stats)
	}
}

// Closing while everything else goes on: what comes too late is refused, and nothing hangs.
func TestConcurrentClose(t *testing.T) {
	for range 20 {
		b := open(t, Config{Subscriber: newRecorder})
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for i := range 50 {
					c, err := b.Join("c", JoinRequest{}, nil)
					if err == nil {
						_, err = b.Publish("c", &Publication{Op: Set, Key: fmt.Sprint(i), TTL: time.Microsecond})
						c.Leave()
					}
					if err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		running.Go(func() { _ = b.Close() })
		running.Wait()
	}
}
