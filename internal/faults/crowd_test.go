//go:build faults

package faults

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// report is what the load tester says.
type report struct {
	Expected, Received, Lost, Duplicated, Reordered int64
	LatencyMs                                       struct{ P50, P99, Max float64 }
}

func (s *server) measure(args ...string) report {
	s.Helper()
	var r report
	if err := json.Unmarshal(s.bench(args...), &r); err != nil {
		s.Fatal(err)
	}
	if r.Expected == 0 || r.Received < r.Expected || r.Lost+r.Duplicated+r.Reordered > 0 {
		s.Errorf("%v: %+v", args, r)
	}
	return r
}

// Clients that do not read hold a bounded queue each and nobody else up.
func TestStalledReaders(t *testing.T) {
	s := newServer(t, "")
	s.start()
	n := fmt.Sprint(times(5000, 500))
	load := []string{"--subscribers", n, "--channels", "1", "--rate", fmt.Sprint(times(40, 400)), "--batch", "4", "--payload", "200", "--prefix", "kept:", "--duration", fmt.Sprint(times(15, 3), "s")}
	alone := s.measure(append([]string{"fanout"}, load...)...)
	before := s.rss()
	beside := s.measure(append([]string{"slow"}, load...)...)
	t.Logf("the others' p99: %.1f ms, without stalled clients %.1f ms (%.2f times); memory %d and %d MiB", beside.LatencyMs.P99, alone.LatencyMs.P99,
		beside.LatencyMs.P99/alone.LatencyMs.P99, before>>20, s.rss()>>20)
	if grown := s.rss() - before; grown > int64(times(5000, 500)/100)<<20+64<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	goal(t, beside.LatencyMs.P99 <= 1.1*alone.LatencyMs.P99, "the others' p99 is %.2f times that without stalled clients, want 1.1 at most", beside.LatencyMs.P99/alone.LatencyMs.P99)
	s.alive()
}

// A herd that is cut off at once comes back and resumes within seconds, with nothing lost.
func TestHerd(t *testing.T) {
	s := newServer(t, "")
	s.start()
	n := times(10000, 1000)
	begin := time.Now()
	ended := make(chan struct{})
	var watching sync.WaitGroup
	var before, after int64 // memory at most, while all are there for the first time and from the cut on
	watching.Go(func() {
		all, cut := false, false
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-ended:
				tick.Stop()
				return
			case <-tick.C:
			}
			open := s.metric(`weir_connections_open{transport="ws"}`)
			all = all || int(open) >= n
			if cut = cut || all && int(open) < n*9/10; cut {
				after = max(after, s.rss())
			} else {
				before = max(before, s.rss())
			}
		}
	})
	r := s.measure("herd", "--subscribers", fmt.Sprint(n), "--channels", "20", "--rate", "200", "--prefix", "kept:", "--duration", fmt.Sprint(times(15, 5), "s"))
	close(ended)
	watching.Wait()
	t.Logf("%d clients came back: p50 %.0f p99 %.0f max %.0f ms from the cut or when due; all of it took %v; %d MiB before, %d from then on", n, r.LatencyMs.P50, r.LatencyMs.P99, r.LatencyMs.Max,
		time.Since(begin).Round(time.Second), before>>20, after>>20)
	goal(t, r.LatencyMs.Max <= 10_000, "the last one was back after %.0f ms, want 10 s at most", r.LatencyMs.Max)
	if after == 0 {
		t.Error("nobody was seen to be cut off")
	}
	goal(t, after <= 2*before, "%d MiB of memory, want twice %d at most", after>>20, before>>20)
	s.alive()
}

// A client behind a network that swallows everything is found by its silence; its user leaves.
func TestHalfOpen(t *testing.T) {
	needsRoot(t, "a network namespace")
	run := func(line string) {
		t.Helper()
		if out, err := exec.Command("bash", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", line, err, out)
		}
	}
	const ns, host, guest = "weir-faults", "10.213.7.1", "10.213.7.2"
	undo := func() {
		_ = exec.Command("bash", "-c", "ip netns del "+ns+"; ip link del weirf0").Run()
	}
	undo()
	run("ip netns add " + ns)
	t.Cleanup(undo)
	run("ip link add weirf0 type veth peer name weirf1 && ip link set weirf1 netns " + ns)
	run("ip addr add " + host + "/30 dev weirf0 && ip link set weirf0 up")
	run("ip netns exec " + ns + " bash -c 'ip addr add " + guest + "/30 dev weirf1; ip link set weirf1 up; ip link set lo up'")

	s := newServer(t, "")
	_, port, _ := strings.Cut(s.listen, ":")
	s.listen = host + ":" + port
	limit := 35 * time.Second // as it is configured by default
	if short {
		s.env = []string{"WEIR_HEARTBEAT=1s", "WEIR_PONG=1s"}
		limit = 2 * time.Second
	}
	s.start()
	// The client of the load tester in the namespace stays idle, in a channel with presence.
	peer := exec.Command("ip", "netns", "exec", ns, s.binary(), "bench", "idle", "--url", "http://"+s.listen, "--key", apiKey, "--secret", tokenSecret,
		"--subscribers", "20", "--channels", "1", "--prefix", "here:", "--duration", "10m", "--i-own-this-target")
	peer.Stdout, peer.Stderr = s.log, s.log
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = peer.Process.Kill()
		_ = peer.Wait()
	}()
	const open = `weir_connections_open{transport="ws"}`
	until(t, "all have connected", func() bool { return s.metric(open) == 20 })
	until(t, "all are present", func() bool {
		status, answer := ask("http://" + s.listen + "/v1/channels/here:0/presence?count")
		return status == 200 && strings.Contains(answer, `"count":20`)
	})
	// No packet passes in either direction, and none comes back to say so: nobody says goodbye.
	for _, device := range []string{"dev weirf0", "dev weirf1"} {
		in := ""
		if device == "dev weirf1" {
			in = "ip netns exec " + ns + " "
		}
		run(in + "tc qdisc add " + device + " root tbf rate 8bit burst 1 limit 1")
	}
	begin := time.Now()
	until(t, "the silent ones are gone", func() bool { return s.metric(open) == 0 })
	took := time.Since(begin)
	silent := s.metric(`weir_closes_total{code="4009"}`)
	until(t, "their users have left", func() bool {
		_, answer := ask("http://" + s.listen + "/v1/channels/here:0/presence?count")
		return strings.Contains(answer, `"count":0`)
	})
	t.Logf("found after %v, their users left after %v; closed for want of a pong: %v", took.Round(100*time.Millisecond), time.Since(begin).Round(100*time.Millisecond), silent)
	if silent != 20 {
		t.Errorf("%v were closed for want of a pong", silent)
	}
	goal(t, took <= limit+3*time.Second, "found after %v, want %v and the spread of heartbeats", took, limit) // they were not all due at once
	s.alive()
}
