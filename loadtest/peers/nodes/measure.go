package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func (r *run) head() error {
	r.printf("## Several nodes\n")
	r.printf("`make bench-cluster` writes this section. Three nodes, the NATS server in each, and `weir bench` on one machine with %d cores, over loopback, %s. Each figure is the median of %d runs of 5 s. The load average was %s when it began: a machine that does nothing else has less than 1. What three machines do is not measured: here the nodes take the processors from each other, so that latencies are upper bounds and rates lower ones.",
		runtime.NumCPU(), time.Now().UTC().Format("2 January 2006, 15:04 UTC"), r.runs, loadAverage())
	return nil
}

// loadAverage is that of the last minute.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg") // of Linux
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

func (r *run) has(name string) bool {
	_, err := os.Stat(filepath.Join(r.bin, name))
	return err == nil
}

// latency measures from a publish on one node to a delivery on another.
func (r *run) latency() error {
	r.say("latency")
	r.printf("\n### Publish on one node, delivery on another\n\n1000 messages a second by HTTP on one connection, one channel, one WebSocket. From when a message is due. weir gathers nothing (`batch.window: 0s`), as Centrifugo does by default; that asks for no tokens here (`client.insecure`), and weir checks one.\n")
	r.printf("| servers | publish on | owner | reader on | p50 ms | p99 ms | CPU, cores | not valid because |\n|---|---|---|---|---|---|---|---|")
	row := func(name, a, owner, b string, servers []*process, args ...string) error {
		x, err := r.median(p50, func() (result, error) {
			return r.bench(servers, append([]string{"fanout", "--subscribers", "1", "--channels", "1", "--publishers", "1", "--rate", "1000"}, args...)...)
		})
		if err == nil {
			r.printf("| %s | %s | %s | %s | %.2f | %.2f | %.2f | %s |", name, a, owner, b, x.Latency.P50, x.Latency.P99, x.spent/(x.Seconds+1), x.mark())
		}
		return err
	}
	r.atOnce = true
	defer func() { r.atOnce = false }()
	one, err := r.relay(1, 0)
	if err != nil {
		return err
	}
	if err := row("weir, one node", "–", "–", "–", one, "--url", public(0)); err != nil {
		return err
	}
	r.stopAll()
	three, err := r.relay(nodeCount, 0)
	if err != nil {
		return err
	}
	for _, owner := range []int{0, 1, 2} {
		if err := r.move(channel, owner); err != nil {
			return err
		}
		if err := row("weir, three nodes", "1", fmt.Sprint(owner+1), "2", three, "--publish-url", public(0), "--url", public(1)); err != nil {
			return err
		}
	}
	r.stopAll()
	if !r.has("centrifugo") {
		r.printf("\nCentrifugo could not be built here and is left out.")
		return nil
	}
	peer := func(i int) string { return "http://" + address(peerPort, i) }
	auth := []string{"--target", "centrifugo", "--key", benchKey}
	servers, err := r.centrifugo(1)
	if err != nil {
		return err
	}
	if err := row("Centrifugo, one node", "–", "–", "–", servers, append(auth, "--url", peer(0))...); err != nil {
		return err
	}
	r.stopAll()
	if !r.has("redis-server") {
		return nil
	}
	if servers, err = r.centrifugo(nodeCount); err != nil {
		return err
	}
	return row("Centrifugo, three nodes on Redis", "1", "Redis", "2", servers, append(auth, "--publish-url", peer(0), "--url", peer(1))...)
}

// forwarding measures how much a node hands on, and what a message costs on its way.
func (r *run) forwarding() error {
	r.say("forwarding")
	r.printf("\n### Publications that a node hands on\n\nPublished on node 1 by 64 connections, each as fast as its answers come, to one channel that node 2 owns, or node 1 itself. Nobody reads.\n")
	r.printf("| requests | owner | publications/s | CPU of the three for each, µs | not valid because |\n|---|---|---|---|---|")
	three, err := r.relay(nodeCount, 0)
	if err != nil {
		return err
	}
	cost := make(map[string]float64)
	for _, batch := range []int{1, 100} {
		for owner, name := range []string{"node 1", "node 2"} {
			if err := r.move(channel, owner); err != nil {
				return err
			}
			x, err := r.median(rate, func() (result, error) {
				return r.bench(three, append(closed(64, batch), "--channels", "1", "--url", public(0))...)
			})
			if err != nil {
				return err
			}
			each := x.spent / (x.Seconds + 1) / x.Published * 1e6
			cost[fmt.Sprint(batch, name)] = each
			what := "one message each"
			if batch > 1 {
				what = "100 lines of NDJSON"
			}
			r.printf("| %s | %s | %.0f | %.1f | %s |", what, name, x.Published, each, x.mark())
		}
	}
	r.printf("\nThe way over the link, there and back with its answer, costs all nodes together %.1f µs of CPU for a message that comes alone and %.1f µs for one of a hundred: the differences of the rows above.",
		cost["1node 2"]-cost["1node 1"], cost["100node 2"]-cost["100node 1"])
	return nil
}

// crowd measures one channel with many readers.
func (r *run) crowd() error {
	r.say("fan-out")
	n := 3000
	if r.quick {
		n = 300
	}
	r.printf("\n### One channel, %d readers, 100 messages a second\n", n)
	r.printf("| servers | deliveries/s | p50 ms | p99 ms | CPU, cores | not valid because |\n|---|---|---|---|---|---|")
	args := []string{"fanout", "--subscribers", fmt.Sprint(n), "--channels", "1", "--rate", "100"}
	row := func(name string, servers []*process, more ...string) error {
		x, err := r.median(cores, func() (result, error) { return r.bench(servers, append(slices.Clone(args), more...)...) })
		if err == nil {
			r.printf("| %s | %.0f | %.1f | %.1f | %.2f | %s |", name, float64(x.Received)/(x.Seconds+1), x.Latency.P50, x.Latency.P99, x.CPU, x.mark())
		}
		return err
	}
	one, err := r.relay(1, 0)
	if err != nil {
		return err
	}
	if err := row("weir, one node", one, "--url", public(0)); err != nil {
		return err
	}
	r.stopAll()
	three, err := r.relay(nodeCount, 0)
	if err != nil {
		return err
	}
	all := strings.Join([]string{public(0), public(1), public(2)}, ",")
	if err := row(fmt.Sprintf("weir, three nodes with %d each", n/3), three, "--url", all); err != nil {
		return err
	}
	r.stopAll()
	if !r.has("centrifugo") || !r.has("redis-server") {
		return nil
	}
	servers, err := r.centrifugo(nodeCount)
	if err != nil {
		return err
	}
	peers := fmt.Sprintf("http://%s,http://%s,http://%s", address(peerPort, 0), address(peerPort, 1), address(peerPort, 2))
	return row(fmt.Sprintf("Centrifugo, three nodes with %d each (without Redis)", n/3), servers[1:], "--target", "centrifugo", "--key", benchKey, "--url", peers)
}

// takeovers measures how long a channel has no owner after its node was killed.
func (r *run) takeovers() error {
	r.say("takeovers")
	client := &http.Client{Timeout: 5 * time.Second}
	var took []time.Duration
	for range max(r.runs, 1) + 2 {
		three, err := r.relay(nodeCount, 0)
		if err != nil {
			return err
		}
		if err := r.move(channel, 2); err != nil {
			return err
		}
		if err := publish(client, 0, channel); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		d, err := r.kill(three[2], client)
		if err != nil {
			return err
		}
		took = append(took, d)
		r.stopAll()
		if r.quick {
			break
		}
	}
	slices.Sort(took)
	r.printf("\n### An owner is killed\n\nFrom `kill -9` of a node to the first acknowledged publication on another to a channel that it owned, its NATS server gone with it (of %d: elections of the table included): median %.1f s, at most %.1f s, at least %.1f s.",
		len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds(), took[0].Seconds())
	return nil
}

// planned measures how long publications to a partition wait while it moves.
func (r *run) planned() error {
	r.say("moves")
	const partitions = 4
	channels := 4000
	if r.quick {
		channels = 400
	}
	if _, err := r.relay(nodeCount, partitions); err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	for i := range channels {
		if err := publish(client, i%nodeCount, fmt.Sprint("moved:", i)); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	var longest []time.Duration
	failed := 0
	for move := range max(r.runs, 1) * 3 {
		done := make(chan error, 1)
		end := make(chan struct{})
		var worst time.Duration
		go func() {
			for {
				select {
				case <-end:
					done <- nil
					return
				default:
				}
				begun := time.Now()
				if publish(client, 0, "moved:0") != nil {
					failed++
				}
				worst = max(worst, time.Since(begun))
			}
		}()
		time.Sleep(200 * time.Millisecond)
		err := r.move("moved:0", (move+1)%nodeCount)
		close(end)
		<-done
		if err != nil {
			return err
		}
		longest = append(longest, worst)
	}
	slices.Sort(longest)
	r.printf("\n### A partition moves\n\nWith about %d channels in it, while somebody publishes to one of them, one request after the other: the longest of these requests took %.0f ms at the median of %d moves, and %.0f ms at most. %d publications failed.",
		channels/partitions, float64(longest[len(longest)/2])/1e6, len(longest), float64(longest[len(longest)-1])/1e6, failed)
	return nil
}
