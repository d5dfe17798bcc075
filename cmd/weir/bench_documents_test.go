//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// BenchmarkEditors is 50 editors of one document of 100 KB who make ten operations a second each, for docs/documents.md.
// It measures how long an operation takes from being sent to being received by the others, and what the relay needs. Each
// operation of the benchmark is 12 seconds of that.
func BenchmarkEditors(b *testing.B) {
	s := startDaemon(b)
	for b.Loop() {
		edit(b, s)
	}
}

func edit(t *testing.B, s *daemon) {
	const editors, size, every, span = 50, 100 << 10, 100 * time.Millisecond, 12 * time.Second
	s.put(t, "/v1/documents/measured", fmt.Sprintf(`{"text":%q}`, strings.Repeat("a line of text. ", size/16)))
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), span+30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	late := 0
	cpu := make(chan time.Duration, 1)
	for i := range editors {
		c, _, err := websocket.Dial(ctx, s.url+"/documents/measured/collaborate", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + s.token}}})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(1 << 22)
		e := &measured{c: c, r: rand.New(rand.NewPCG(uint64(i), 1)), begin: begin}
		all.Go(func() {
			defer func() { _ = c.CloseNow() }()
			e.run(ctx, span, every, i)
			mu.Lock()
			took = append(took, e.took...)
			late += e.late
			mu.Unlock()
		})
	}
	time.AfterFunc(2*time.Second, func() { cpu <- s.cpu(t) }) // joined, and under way
	before := <-cpu
	measuredFrom := time.Now()
	all.Wait()
	share := (s.cpu(t) - before).Seconds() / time.Since(measuredFrom).Seconds()
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	if took == nil || s.cmd.ProcessState != nil {
		t.Fatal("nothing was measured")
	}
	for unit, v := range map[string]float64{"receipts": float64(len(took)), "p50-ms": at(0.5), "p99-ms": at(0.99), "max-ms": at(1), "cores": share, "late": float64(late)} {
		t.ReportMetric(v, unit)
	}
}

// measured is an editor that types whatever comes.
type measured struct {
	c       *websocket.Conn
	r       *rand.Rand
	begin   time.Time
	mu      sync.Mutex
	version uint64
	flying  bool
	took    []time.Duration
	late    int
}

func (e *measured) run(ctx context.Context, span, every time.Duration, n int) {
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	var reading sync.WaitGroup
	reading.Go(func() { e.read(ctx) })
	select {
	case <-time.After(time.Duration(n) * every / 50):
	case <-ctx.Done():
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			reading.Wait()
			return
		case <-tick.C:
			e.mu.Lock()
			flying, version := e.flying, e.version
			if flying {
				e.late++
			}
			e.flying = true
			e.mu.Unlock()
			if flying || version == 0 {
				continue
			}
			change := `"x"`
			if e.r.IntN(2) == 0 {
				change = `{"d":1}`
			}
			m := fmt.Sprintf(`{"type":"operation","id":%d,"version":%d,"operation":[%d,%s]}`, time.Since(e.begin), version, 1+e.r.IntN(90000), change)
			_ = e.c.Write(ctx, websocket.MessageText, []byte(m))
		}
	}
}

func (e *measured) read(ctx context.Context) {
	for {
		_, b, err := e.c.Read(ctx)
		if err != nil {
			return
		}
		now := time.Since(e.begin)
		version := numberOf(b, `"version":`)
		e.mu.Lock()
		switch {
		case bytes.HasPrefix(b, []byte(`{"type":"operation"`)):
			e.version = version
			if now > 3*time.Second { // all are there
				e.took = append(e.took, now-time.Duration(numberOf(b, `"id":`)))
			}
		case bytes.HasPrefix(b, []byte(`{"type":"ok"`)):
			e.version, e.flying = version, false
		case bytes.HasPrefix(b, []byte(`{"type":"document"`)):
			e.version, e.flying = version, false
		case bytes.HasPrefix(b, []byte(`{"type":"error"`)):
			panic(string(b))
		}
		e.mu.Unlock()
	}
}

func numberOf(b []byte, key string) uint64 {
	_, rest, _ := bytes.Cut(b, []byte(key))
	end := bytes.IndexAny(rest, ",}")
	n, _ := strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64)
	return n
}

func (s *daemon) put(t testing.TB, path, body string) {
	t.Helper()
	out, err := exec.Command("curl", "-sf", "-X", "PUT", "-H", "Authorization: Bearer dev", "--data-binary", body, s.url+path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// cpu is what the process has used so far.
func (s *daemon) cpu(t testing.TB) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
