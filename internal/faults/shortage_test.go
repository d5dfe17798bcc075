//go:build faults

package faults

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A flood that takes all descriptors ends nothing: who is connected goes on, and when the flood ends others get in
// again. Meanwhile the relay says that it is not ready.
func TestDescriptors(t *testing.T) {
	s := newServer(t, "")
	s.shell = "ulimit -n 200;"
	s.start()
	w := people(s, names("kept", 2), 4, 1, 2*time.Millisecond, true)
	var flood []net.Conn
	for range 400 {
		nc, err := net.DialTimeout("tcp", s.listen, time.Second)
		if err != nil {
			break
		}
		flood = append(flood, nc)
	}
	until(t, "the relay says that it is full", func() bool { return s.status("/readyz") == 503 })
	w.progress(50)
	s.alive()
	for _, nc := range flood {
		_ = nc.Close()
	}
	begin := time.Now()
	late := newReader(s, "late", w.channels)
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() { late.run(ctx) })
	until(t, "somebody new gets in", func() bool { return late.follows(1) })
	took := time.Since(begin)
	refused := s.metric(`weir_connections_refused_total{limit="descriptors"}`)
	cancel()
	reading.Wait()
	for _, r := range w.readers {
		if len(r.gaps) > 0 {
			t.Errorf("%s was cut off", r.seen.Name)
		}
	}
	w.judge()
	t.Logf("accepting again after %v; %v refused", took.Round(time.Millisecond), refused)
	if refused == 0 {
		t.Error("nobody is counted as refused for want of descriptors")
	}
	goal(t, took <= time.Second, "accepting again took %v", took)
}

// At nine tenths of its memory the relay refuses new sessions, and goes on serving those that it has. A flood of
// items does not end it.
func TestMemory(t *testing.T) {
	s := newServer(t, "")
	s.env = []string{"GOMEMLIMIT=96MiB"}
	s.start()
	w := people(s, names("brief", 2), 3, 1, 5*time.Millisecond, true)
	client := &http.Client{Timeout: 10 * time.Second}
	value := make([]byte, 60<<10)
	for i := range value {
		value[i] = 'x'
	}
	refused, most := 0, int64(0)
	length := 10 * time.Minute
	if short {
		length = 10 * time.Second
	}
	for begin, n := time.Now(), 0; time.Since(begin) < length; n++ {
		// Items of many channels: memory that nothing but time or an operator gives back.
		status, answer := post(client, "http://"+s.listen+"/v1/publish", fmt.Sprintf(`{"channel":"kept:flood-%d","key":"k%d","data":%q}`, n%500, n, value))
		switch status {
		case 200:
		case 503, 409:
			refused++
			<-time.After(5 * time.Millisecond) // as told
		default:
			t.Fatalf("%d %s", status, answer)
		}
		most = max(most, s.rss())
	}
	s.alive()
	_, err := http.Get("http://" + s.admin + "/healthz")
	if err != nil {
		t.Error(err)
	}
	w.judge()
	t.Logf("%d publishes refused, %d MiB at most", refused, most>>20)
	if most > 192<<20 {
		t.Errorf("%d MiB were used with a limit of 96", most>>20)
	}
	if refused == 0 {
		t.Error("nothing was ever refused")
	}
}

// On a full disk a durable publish fails and says so, everything else goes on, and it heals by itself. Nothing that
// was acknowledged is lost.
func TestDiskFull(t *testing.T) {
	needsRoot(t, "a small file system")
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "weir-faults", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	s := newServer(t, durable)
	s.args = []string{"--data", dir + "/data"}
	s.start()
	durables := people(s, names("durable", 2), 3, 1, 2*time.Millisecond, false)
	memory := people(s, names("kept", 2), 3, 1, 2*time.Millisecond, true)
	durables.progress(50)
	filler := dir + "/filler"
	fill := func() error {
		f, err := os.Create(filler)
		if err != nil {
			return err
		}
		defer f.Close()
		block := make([]byte, 64<<10)
		for {
			if _, err := f.Write(block); err != nil {
				return nil //nolint:nilerr // full: that is what it is for
			}
		}
	}
	for range times(5, 2) {
		if err := fill(); err != nil {
			t.Fatal(err)
		}
		from := durables.refused.Load()
		until(t, "a durable publish is refused", func() bool { return durables.refused.Load() > from+3 })
		memory.progress(100) // live traffic goes on
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		durables.progress(50) // and it heals
	}
	memory.judge()
	durables.progress(10)
	durables.stopPublishing()
	durables.publishing.Wait()
	s.kill()
	s.start()
	v := durables.judge()
	if v.Told != 0 {
		t.Errorf("%d acknowledged messages were told to be lost", v.Told)
	}
}
