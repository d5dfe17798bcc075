//go:build faults

package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
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
	load := []string{"--subscribers", n, "--channels", "1", "--rate", "2000", "--batch", "20", "--payload", "200", "--prefix", "kept:", "--duration", "8s"}
	alone := s.measure(append([]string{"fanout"}, load...)...)
	before := s.rss()
	beside := s.measure(append([]string{"slow"}, load...)...)
	t.Logf("the others' p99: %.1f ms, without stalled clients %.1f ms (%.2f times); memory %d and %d MiB", beside.LatencyMs.P99, alone.LatencyMs.P99,
		beside.LatencyMs.P99/alone.LatencyMs.P99, before>>20, s.rss()>>20)
	if grown := s.rss() - before; grown > int64(times(5000, 500)/100)<<20+64<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	s.alive()
}

// A herd that is cut off at once comes back and resumes within seconds, with nothing lost.
func TestHerd(t *testing.T) {
	s := newServer(t, "")
	s.start()
	n := times(10000, 1000)
	begin := time.Now()
	r := s.measure("herd", "--subscribers", fmt.Sprint(n), "--channels", "20", "--rate", "200", "--prefix", "kept:", "--duration", "10s")
	t.Logf("%d clients came back: p50 %.0f p99 %.0f max %.0f ms from the cut or when due; all of it took %v; %d MiB", n, r.LatencyMs.P50, r.LatencyMs.P99, r.LatencyMs.Max,
		time.Since(begin).Round(time.Second), s.rss()>>20)
	s.alive()
}

// A client behind a network that swallows everything is found by its silence; its user leaves.
func TestHalfOpen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
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
	s.env = []string{"WEIR_HEARTBEAT=1s", "WEIR_PONG=1s"}
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
	run("ip link set weirf0 down") // no packet, no reset: nobody says goodbye
	begin := time.Now()
	until(t, "the silent ones are gone", func() bool { return s.metric(open) == 0 })
	t.Logf("found after %v with a heartbeat and a pong of 1 s; closed for want of a pong: %v", time.Since(begin).Round(100*time.Millisecond), s.metric(`weir_closes_total{code="4009"}`))
	s.alive()
}
