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

// TestMeasureEditors is a measurement, for docs/documents.md: editors of one document of 100 KB who make ten operations
// a second each. It tells how long an operation takes from being sent to being received by the others, and what
// the relay needs. MEASURE=10s says for how long.
func TestMeasureEditors(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("MEASURE"))
	if err != nil {
		t.Skip("MEASURE says for how long")
	}
	const editors, size, every = 50, 100 << 10, 100 * time.Millisecond
	s := startDaemon(t)
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
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(100 * time.Microsecond) }
	t.Logf("%d receipts; p50 %v, p99 %v, max %v; %.2f core; %d operations were not made because the last was not answered",
		len(took), at(0.5), at(0.99), at(1), share, late)
	if took == nil || s.cmd.ProcessState != nil {
		t.Fatal("nothing was measured")
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

func (s *daemon) put(t *testing.T, path, body string) {
	t.Helper()
	out, err := exec.Command("curl", "-sf", "-X", "PUT", "-H", "Authorization: Bearer dev", "--data-binary", body, s.url+path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// cpu is what the process has used so far.
func (s *daemon) cpu(t *testing.T) time.Duration {
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
