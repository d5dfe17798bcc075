//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/relay/relaytest/ledger"
)

// fleet is readers and publishers around the nodes of a cluster, who take whichever node they like. Each channel has a publisher of its own.
type fleet struct {
	testing.TB
	nodes    []*server
	channels []string
	ledger   *ledger.Ledger
	readers  []*reader
	last     []atomic.Pointer[position] // acknowledged last, by channel
	counts   []atomic.Int64             // acknowledged, by channel
	longest  []atomic.Int64             // ns from the first attempt to the acknowledgement, since the last fault
	refused  atomic.Int64

	stopReading, stopPublishing context.CancelFunc
	reading, publishing         sync.WaitGroup
}

// sail starts readers of all channels and a publisher for each. forks: an owner may be lost, and what only it had with it.
func sail(t testing.TB, nodes []*server, channels, readers int, every time.Duration, forks bool) *fleet {
	t.Helper()
	f := &fleet{TB: t, nodes: nodes, channels: names("kept", channels), ledger: ledger.New(), last: make([]atomic.Pointer[position], channels),
		counts: make([]atomic.Int64, channels), longest: make([]atomic.Int64, channels)}
	f.ledger.Forks = forks
	var read, publish context.Context
	read, f.stopReading = context.WithCancel(context.Background())
	publish, f.stopPublishing = context.WithCancel(context.Background())
	for i := range readers {
		r := newReader(nodes[0], fmt.Sprintf("reader-%d", i), f.channels)
		r.servers, r.features = nodes, "?features=fork"
		f.readers = append(f.readers, r)
		f.reading.Go(func() { r.run(read) })
	}
	t.Cleanup(f.stop)
	for _, r := range f.readers {
		until(t, r.seen.Name+" follows", func() bool { return r.follows(1) })
	}
	for i := range f.channels {
		f.publishing.Go(func() { f.publish(publish, i, every) })
	}
	f.goesOn(3)
	return f
}

func (f *fleet) stop() {
	f.stopPublishing()
	f.publishing.Wait()
	f.stopReading()
	f.reading.Wait()
}

// publish publishes stamps to a channel until ctx ends, each with its key until it is acknowledged, by one node or another, and then
// a last one.
func (f *fleet) publish(ctx context.Context, i int, every time.Duration) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	start := time.Now()
	for n, ended := 0, false; !ended; n++ {
		ended = ctx.Err() != nil
		stamp := f.ledger.Next(uint32(i), 1, time.Since(start).Nanoseconds())
		body := fmt.Sprintf(`{"channel":%q,"idempotencyKey":"%d-%d","data":%s}`, f.channels[i], i, n, stamp.Append(nil, 200))
		for begin, at := time.Now(), rand.IntN(len(f.nodes)); ; at++ {
			status, answer := post(client, "http://"+f.nodes[at%len(f.nodes)].listen+"/v1/publish", body)
			var told struct{ Position position }
			if status == 200 && json.Unmarshal(answer, &told) == nil {
				f.ledger.Acked(stamp, ledger.Position(told.Position))
				f.last[i].Store(&told.Position)
				f.counts[i].Add(1)
				if took := int64(time.Since(begin)); took > f.longest[i].Load() {
					f.longest[i].Store(took)
				}
				break
			}
			if status != 0 && status != 503 || time.Since(begin) > patience {
				f.Errorf("publish to %s: %d %s after %v", f.channels[i], status, answer, time.Since(begin))
				return
			}
			f.refused.Add(1)
			<-time.After(10 * time.Millisecond)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
}

// goesOn waits until n publications to each channel have been acknowledged that were not yet.
func (f *fleet) goesOn(n int64) {
	f.Helper()
	from := make([]int64, len(f.counts))
	for i := range f.counts {
		from[i] = f.counts[i].Load()
	}
	for i := range f.counts {
		until(f, "publishing to "+f.channels[i]+" goes on", func() bool { return f.counts[i].Load() >= from[i]+n })
	}
}

// during does something, waits until all channels go on after it, and returns how long it took, of the channels, until a publication was acknowledged: the median
// and the longest.
func (f *fleet) during(what string, fault func()) (longest time.Duration) {
	f.Helper()
	for i := range f.longest {
		f.longest[i].Store(0)
	}
	refused := f.refused.Load()
	fault()
	f.goesOn(3)
	var list []time.Duration
	for i := range f.longest {
		list = append(list, time.Duration(f.longest[i].Load()))
	}
	slices.Sort(list)
	longest = list[len(list)-1]
	f.Logf("%s: until acknowledged, of %d channels: median %v, 90 %% %v, longest %v; %d attempts failed", what, len(list), list[len(list)/2].Round(time.Millisecond),
		list[len(list)*9/10].Round(time.Millisecond), longest.Round(time.Millisecond), f.refused.Load()-refused)
	return longest
}

// judge ends publishing, waits until all readers stand where the last acknowledged messages do, and lets the checker judge.
func (f *fleet) judge() ledger.Verdict {
	f.Helper()
	f.stopPublishing()
	f.publishing.Wait()
	for _, r := range f.readers {
		for i := range f.channels {
			until(f, fmt.Sprintf("%s has caught up with %s: it stands at %v", r.seen.Name, f.channels[i], r.stands(i)), func() bool {
				last, at := f.last[i].Load(), r.stands(i)
				return last != nil && at.Epoch == last.Epoch && at.Seq >= last.Seq
			})
		}
	}
	f.stop()
	for i, channel := range f.channels { // what was answered 503 may have been made behind the last one that was acknowledged
		var all []position
		until(f, fmt.Sprintf("all nodes say the same of where %s stands, at %v or later", channel, *f.last[i].Load()), func() bool {
			all = all[:0]
			for _, s := range f.nodes {
				var told struct{ Position position }
				if status, answer := ask("http://" + s.listen + "/v1/channels/" + channel); status != 200 || json.Unmarshal([]byte(answer), &told) != nil {
					return false
				}
				all = append(all, told.Position)
			}
			last := f.last[i].Load()
			return len(slices.Compact(slices.Clone(all))) == 1 && all[0].Epoch == last.Epoch && all[0].Seq >= last.Seq
		})
	}
	var seen []*ledger.Reader
	recovered, snapshots, renamed := 0, 0, 0
	for _, r := range f.readers {
		seen = append(seen, &r.seen)
		recovered, snapshots, renamed = recovered+r.recovered, snapshots+r.snapshots, renamed+r.renamed
	}
	v := f.ledger.Judge(seen...)
	f.Logf("%v; readers resumed %d times, %d of these in another epoch, and got %d snapshots", v, recovered, renamed, snapshots-len(f.readers)*len(f.channels))
	if !v.OK() {
		f.Errorf("%v\n%s", v, v.Problems)
	}
	if v.Received == 0 {
		f.Error("nobody has received anything")
	}
	if !v.OK() && !f.ledger.Forks { // as it is where owners are lost: what they were not told of would be another fault
		f.ledger.Forks = true
		told := f.ledger.Judge(seen...)
		f.Logf("were owners lost, that would be: %v\n%s", told, told.Problems)
		f.ledger.Forks = false
	}
	if !f.ledger.Forks && (v.Told > 0 || renamed > 0 || snapshots > len(f.readers)*len(f.channels)) {
		f.Errorf("%d publications were told to be lost, %d epochs were others, %d snapshots", v.Told, renamed, snapshots-len(f.readers)*len(f.channels))
	}
	return v
}

// signal sends a signal to a node.
func (s *server) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// stopFor stops a node for a while.
func (s *server) stopFor(d time.Duration) {
	s.signal(syscall.SIGSTOP)
	<-time.After(d)
	s.signal(syscall.SIGCONT)
}
