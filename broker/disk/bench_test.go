package disk

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/broker"
)

// BenchmarkDurablePublish is publishers who each wait for the disk before they go on.
func BenchmarkDurablePublish(b *testing.B) {
	data := fmt.Appendf(nil, `{"text":"%0288d"}`, 7)
	for _, publishers := range []int{1, 100} {
		for _, channels := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("publishers=%d/channels=%d", publishers, channels), func(b *testing.B) {
				j, br := open(b, Config{Dir: b.TempDir()})
				names := make([]string, channels)
				for i := range names {
					names[i] = fmt.Sprintf("room:%d", i)
				}
				var turn atomic.Int64
				var all sync.WaitGroup
				waits := make([][]time.Duration, publishers)
				b.ReportAllocs()
				b.ResetTimer()
				for i := range publishers {
					all.Go(func() { // ends when all changes are made
						p := broker.Publication{Op: broker.Send, Data: data}
						for n := turn.Add(1); n <= int64(b.N); n = turn.Add(1) {
							begun := time.Now()
							if _, err := br.Publish(names[int(n)%channels], &p); err != nil {
								b.Error(err)
								return
							}
							waits[i] = append(waits[i], time.Since(begun))
						}
					})
				}
				all.Wait()
				b.StopTimer()
				each := slices.Concat(waits...)
				slices.Sort(each)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
				b.ReportMetric(float64(each[len(each)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(each[len(each)*99/100].Microseconds())/1000, "p99-ms")
				s := j.Stats()
				b.ReportMetric(float64(b.N)/float64(s.Commits), "changes/commit")
			})
		}
	}
}

// BenchmarkLedger is what noting the end of the log costs a batch: of batches that are made safe in turns with and without,
// so that both meet the same disk, the medians.
func BenchmarkLedger(b *testing.B) {
	fs := folder(b.TempDir())
	l, err := newLedger(fs, 1, entry{})
	if err != nil {
		b.Fatal(err)
	}
	w := wal{fs: fs, next: 1, ledger: l, log: slog.New(slog.DiscardHandler)}
	defer w.close()
	batch := make([]byte, 16<<10) // of 50 changes
	var took [2][]time.Duration
	for n := 0; b.Loop(); n++ {
		begun := time.Now()
		if err := w.append(batch, uint64(n)+1); err != nil {
			b.Fatal(err)
		}
		if n%2 == 1 {
			w.note()
		}
		took[n%2] = append(took[n%2], time.Since(begun))
	}
	for i, name := range []string{"without-µs", "with-µs"} {
		slices.Sort(took[i])
		b.ReportMetric(float64(took[i][len(took[i])/2].Nanoseconds())/1000, name)
	}
}

// everything is a policy that drops nothing.
var everything = durably(broker.Policy{History: 1 << 30, HistoryTTL: -1, HistoryBytes: -1})

// stored makes a directory with that many changes in ten thousand channels, as a kill leaves it: with as much in the
// log as there can be between two checkpoints.
func stored(b *testing.B, changes int) string {
	dir := b.TempDir()
	config := Config{Dir: dir, Policy: everything}
	config.fill()
	j, err := Open(config)
	if err != nil {
		b.Fatal(err)
	}
	br, err := broker.New(broker.Config{Policy: config.Policy, Store: j})
	if err != nil {
		b.Fatal(err)
	}
	data := fmt.Appendf(nil, `{"text":"%0288d"}`, 7)
	tail := changes - 2*config.Checkpoint/400
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := range changes {
		if n == tail { // from here on nothing is checkpointed
			for j.Stats().Backlog > 0 {
				<-tick.C
			}
			j.mu.Lock()
			j.config.Checkpoint, j.config.Interval = 1<<40, time.Hour
			j.mu.Unlock()
		}
		p := broker.Publication{Op: broker.Send, Data: data, Ack: broker.AckMemory}
		if n%10 == 0 {
			p.Op, p.Key = broker.Set, fmt.Sprint("k", n/100_000)
		}
		for {
			if _, err := br.Publish(fmt.Sprint("room:", n%10_000), &p); err == nil {
				break
			}
			<-tick.C // the queue is full
		}
	}
	for j.Stats().Queue > 0 {
		<-tick.C
	}
	to := b.TempDir()
	for _, path := range []string{databaseName, logName} {
		if out, err := exec.Command("cp", "-r", "--sparse=always", filepath.Join(dir, path), to).CombinedOutput(); err != nil {
			b.Fatalf("%s", out)
		}
	}
	if err := br.Close(); err != nil {
		b.Fatal(err)
	}
	return to
}

// BenchmarkOpen is a start after a kill with a million changes stored, up to the first channel that is read.
func BenchmarkOpen(b *testing.B) {
	const changes = 1_000_000
	dir := stored(b, changes)
	for _, end := range []string{"killed", "closed"} {
		b.Run(fmt.Sprintf("changes=%d/end=%s", changes, end), func(b *testing.B) {
			var opened, loaded time.Duration
			var log float64
			for range b.N {
				b.StopTimer()
				from := b.TempDir()
				if out, err := exec.Command("cp", "-r", "--sparse=always", dir+"/.", from).CombinedOutput(); err != nil {
					b.Fatalf("%s", out)
				}
				if end == "closed" {
					j, err := openStill(from, false)
					if err != nil {
						b.Fatal(err)
					}
					if err := j.Close(); err != nil {
						b.Fatal(err)
					}
				}
				runtime.GC()
				b.StartTimer()
				begun := time.Now()
				j, err := Open(Config{Dir: from, Policy: durably(broker.Policy{})})
				if err != nil {
					b.Fatal(err)
				}
				opened += time.Since(begun)
				log += float64(j.Stats().Backlog)
				kept, ok, err := j.Load("room:1234", "fresh")
				if err != nil || !ok || kept.Position.Seq != changes/10_000 {
					b.Fatal(kept.Position, ok, err)
				}
				loaded += time.Since(begun)
				b.StopTimer()
				if err := j.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "ready-ms")
			b.ReportMetric(float64(loaded.Milliseconds())/float64(b.N), "first-read-ms")
			b.ReportMetric(log/float64(b.N)/(1<<20), "log-MiB")
		})
	}
}

// BenchmarkMemory is what a process holds that has stored so much, with everything in the database and every channel
// idle, and what it held at most since it was started: see weigh.
func BenchmarkMemory(b *testing.B) {
	for _, changes := range []int{100_000, 1_000_000, 4_000_000} {
		b.Run(fmt.Sprint("changes=", changes), func(b *testing.B) {
			for range b.N {
				dir := stored(b, changes)
				weigher := exec.Command(os.Args[0])
				weigher.Env = append(os.Environ(), weighed+"="+dir)
				out, err := weigher.Output()
				if err != nil {
					b.Fatal(err, string(out))
				}
				for line := range strings.Lines(string(out)) {
					f := strings.Fields(line)
					v, err := strconv.ParseFloat(f[1], 64)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(v, f[0])
				}
				b.ReportMetric(float64(sizeOf(filepath.Join(dir, databaseName)))/(1<<20), "database-MiB")
			}
		})
	}
}
