package disk_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/broker/disk"
)

// listener notes what a channel delivers.
type listener struct {
	mu   sync.Mutex
	seen []uint64
}

func (l *listener) Apply(c *broker.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, c.Seq)
}

func (l *listener) Reset(broker.Reply) {}

// Channels leave memory and come back under publishers and readers who come at any time: no change is lost, none gets
// another's place, and who joins sees what was there and what comes.
func TestIdleUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := func(string) broker.Policy {
			return broker.Policy{Durable: true, History: 10_000, HistoryTTL: -1, ResumeBytes: -1}
		}
		j, err := disk.Open(disk.Config{Dir: t.TempDir(), Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.New(broker.Config{Policy: policy, Store: j, Subscriber: func(*broker.Channel) broker.Subscriber { return new(listener) }})
		if err != nil {
			t.Fatal(err)
		}
		const channels, each = 3, 60
		var mu sync.Mutex
		places := make(map[string]map[uint64]string) // what was acknowledged where
		var all sync.WaitGroup
		for p := range 6 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(p), 1))
				for n := range each {
					time.Sleep(time.Duration(r.IntN(45_000)) * time.Millisecond) // longer than a channel stays
					name, data := fmt.Sprint("room:", r.IntN(channels)), fmt.Sprint(p*1000+n)
					at, err := b.Publish(name, &broker.Publication{Op: broker.Send, Data: []byte(data)})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if places[name] == nil {
						places[name] = make(map[uint64]string)
					}
					if other, taken := places[name][at.Seq]; taken {
						t.Errorf("%s: %d is %s and %s", name, at.Seq, other, data)
					}
					places[name][at.Seq] = data
					mu.Unlock()
				}
			})
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(p), 2))
				for range each {
					time.Sleep(time.Duration(r.IntN(60_000)) * time.Millisecond)
					var at broker.Position
					var subscriber broker.Subscriber
					before := 0
					c, err := b.Join(fmt.Sprint("room:", r.IntN(channels)), broker.JoinRequest{}, func(s broker.Subscriber, r broker.Reply) {
						at, subscriber, before = r.Position, s, len(s.(*listener).seen)
					})
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(r.IntN(20_000)) * time.Millisecond)
					c.Leave()
					l := subscriber.(*listener)
					l.mu.Lock()
					for i, seq := range l.seen[before:] {
						if seq != at.Seq+uint64(i)+1 {
							t.Errorf("joined at %d, then heard %v", at.Seq, l.seen[before:])
							break
						}
					}
					l.mu.Unlock()
				}
			})
		}
		all.Wait()
		loads := j.Stats().Loads
		if loads < 10 {
			t.Errorf("channels came back %d times only: that says nothing", loads)
		}
		total := 0
		for name, at := range places {
			total += len(at)
			changes, _, position, _ := b.History(name, 0, 10_000)
			var list []struct {
				Seq  uint64
				Data json.RawMessage
			}
			if err := json.Unmarshal(changes, &list); err != nil {
				t.Fatal(err)
			}
			if len(list) != len(at) || position.Seq != uint64(len(at)) {
				t.Errorf("%s: %d changes, %d were acknowledged", name, len(list), len(at))
			}
			for _, s := range list {
				if n, _ := strconv.Atoi(string(s.Data)); strconv.Itoa(n) != at[s.Seq] {
					t.Errorf("%s: at %d is %s, not %s", name, s.Seq, s.Data, at[s.Seq])
				}
			}
		}
		if total != 6*each {
			t.Errorf("%d of %d", total, 6*each)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}
