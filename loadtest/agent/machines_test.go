package agent_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weir/loadtest/agent"
	"weir/loadtest/report"
)

// machine is a network namespace of its own, joined to this one by a cable.
type machine struct{ name, here, there string }

// machines makes n of them; none where that is not allowed.
func machines(t *testing.T, n int) (list []machine) {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for i := range n {
		m := machine{fmt.Sprintf("weir%d-%d", os.Getpid()%10_000, i), fmt.Sprintf("10.213.%d.1", 100+i), fmt.Sprintf("10.213.%d.2", 100+i)}
		out, in := m.name+"a", m.name+"b"
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", m.name).Run() }) // with it the cable
		for _, args := range []string{
			"netns add " + m.name, "link add " + out + " type veth peer name " + in, "link set " + in + " netns " + m.name,
			"addr add " + m.here + "/30 dev " + out, "link set " + out + " up",
			"-n " + m.name + " addr add " + m.there + "/30 dev " + in, "-n " + m.name + " link set " + in + " up", "-n " + m.name + " link set lo up",
		} {
			if b, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Logf("ip %s: %v: %s", args, err, b)
				return nil
			}
		}
		list = append(list, m)
	}
	return list
}

// Agents are processes on machines of their own, whose clocks are an hour and more apart: nothing is lost, latencies are
// by one clock, and what the clocks are apart is reported.
func TestAgentsOnSeveralMachines(t *testing.T) {
	ahead := []time.Duration{-time.Hour, 90 * time.Minute}
	list := machines(t, len(ahead))
	if list == nil {
		t.Log("no network namespaces here: on loopback instead")
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	inner := strings.TrimPrefix(broadcast(t, nil), "http://")
	front := &http.Server{Handler: forward(t, inner)} //nolint:gosec // of a test
	go func() { _ = front.Serve(l) }()                // ends with it
	t.Cleanup(func() { _ = front.Close() })
	var names []string
	for i, by := range ahead {
		host, command := "127.0.0.1", []string(nil)
		to := host
		if list != nil {
			host, to, command = list[i].there, list[i].here, []string{"ip", "netns", "exec", list[i].name}
		}
		command = append(command, os.Args[0], "-test.run=^$")
		p := exec.Command(command[0], command[1:]...)
		p.Env = append(os.Environ(), agentListen+"="+host+":0", agentAhead+"="+by.String(), fmt.Sprintf("%s=http://%s:%d", agentTarget, to, l.Addr().(*net.TCPAddr).Port))
		p.Stderr = os.Stderr
		in, err := p.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			_ = p.Wait()
		})
		name, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimSpace(name))
	}
	rec, err := agent.Run(t.Context(), agent.Config{Agents: names, Secret: secret, Scenario: plan(), Spec: []byte("spec")})
	if err != nil {
		t.Fatal(err)
	}
	res := report.New(rec)
	if res.Expected != 120*30 || res.Received != res.Expected || res.Duplicated+res.Corrupted+res.Late != 0 || res.LatencyMs.Count != 120*15 {
		t.Errorf("expected %d, received %d, late %d, %d latencies", res.Expected, res.Received, res.Late, res.LatencyMs.Count)
	}
	if res.LatencyMs.Max > 60_000 {
		t.Errorf("a latency of %v ms was measured by two clocks", res.LatencyMs.Max)
	}
	for i, a := range res.Agents {
		if off := a.OffsetMs - float64(ahead[i].Milliseconds()); off < -1000 || off > 1000 {
			t.Errorf("agent %d is ahead by %v ms, measured as %v", i, ahead[i].Milliseconds(), a.OffsetMs)
		}
	}
}
