package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// durably is how the channels of a run are kept; "": in memory.
type durably string

const (
	synced   durably = "synced"   // on disk before it is acknowledged
	buffered durably = "buffered" // the operating system writes it to the disk when it likes
)

// durable measures channels that a majority of the servers keeps.
func (r *run) durable() error {
	r.say("durable channels")
	r.printf("\n### Durable channels\n\nPublished to 100 channels, acknowledged when it is kept: by one node on its disk, by three when two of their servers have it. Each publisher sends its next request when the last one is answered, and latency counts from the request.\n")
	r.printf("| servers | synced to the disk | publishers | requests | publications/s | p50 ms | p99 ms | CPU of all, cores | not valid because |\n|---|---|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		nodes int
		kept  durably
	}{{1, synced}, {nodeCount, synced}, {nodeCount, buffered}} {
		if err := r.durablePublish(c.nodes, c.kept); err != nil {
			return err
		}
	}
	if err := r.durableLoad(); err != nil {
		return err
	}
	r.stopAll()
	return r.durableTakeover()
}

// durablePublish measures publications that are acknowledged.
func (r *run) durablePublish(nodes int, kept durably) error {
	r.kept = kept
	defer func() { r.kept = "" }()
	servers, err := r.relay(nodes, 0)
	if err != nil {
		return err
	}
	defer r.stopAll()
	var all []string
	for i := range nodes {
		all = append(all, public(i))
	}
	for _, c := range []struct{ publishers, batch int }{{100, 1}, {1000, 1}, {16, 100}} {
		x, err := r.median(rate, func() (result, error) {
			return r.bench(servers, append(closed(c.publishers, c.batch), "--channels", "100", "--url", strings.Join(all, ","))...)
		})
		if err != nil {
			return err
		}
		name, synced, what := "one node", "yes", "one message each"
		if nodes > 1 {
			name = "three nodes"
		}
		if kept == buffered {
			synced = "no"
		}
		if c.batch > 1 {
			what = "100 lines of NDJSON"
		}
		r.printf("| %s | %s | %d | %s | %.0f | %.1f | %.1f | %.2f | %s |", name, synced, c.publishers, what, x.Published, x.Latency.P50, x.Latency.P99, x.spent/(x.Seconds+1), x.mark())
	}
	return nil
}

// post publishes lines of NDJSON; all are to be acknowledged.
func post(client *http.Client, node int, lines []byte) error {
	answer, err := ask(client, http.MethodPost, node, "/v1/publish?answers=errors", "application/x-ndjson", string(lines))
	if err == nil && strings.Contains(answer, `"code":`) {
		err = fmt.Errorf("a line failed: %.200s", answer)
	}
	return err
}

// durableLoad measures how long the first request for a channel takes after its partition has moved, beside the second one.
func (r *run) durableLoad() error {
	r.kept = synced
	defer func() { r.kept = "" }()
	const partitions, channels, changes = 4, 400, 100
	if _, err := r.relay(nodeCount, partitions); err != nil {
		return err
	}
	client := &http.Client{Timeout: 20 * time.Second}
	name := func(i int) string { return fmt.Sprint("bench:load", i) }
	for i := range channels {
		var lines []byte
		for range changes {
			lines = fmt.Appendf(lines, `{"channel":%q,"data":%q}`+"\n", name(i), strings.Repeat("x", 300))
		}
		if err := post(client, i%nodeCount, lines); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	for i := range channels { // wherever they were
		if i%20 == 0 {
			if err := r.move(name(i), 2); err != nil {
				return err
			}
		}
	}
	var first, second []time.Duration
	for i := range channels {
		for _, list := range []*[]time.Duration{&first, &second} {
			begun := time.Now()
			if _, err := ask(client, http.MethodGet, 2, "/v1/channels/"+name(i)+"/history?limit=1", "", ""); err != nil {
				return fmt.Errorf("history: %w", err)
			}
			*list = append(*list, time.Since(begun))
		}
	}
	slices.Sort(first)
	slices.Sort(second)
	ms := func(list []time.Duration, share float64) float64 {
		return float64(list[int(share*float64(len(list)-1))]) / 1e6
	}
	r.printf("\nA request for a channel of %d changes of 300 bytes that its node has just taken over and not read yet takes %.2f ms (p50; p99 %.1f) and %.2f ms (p99 %.1f) when it is read.",
		changes, ms(first, .5), ms(first, .99), ms(second, .5), ms(second, .99))
	return nil
}

// durableTakeover measures how long a durable channel has no owner after its node was killed with 64 MiB that were put into channels since.
func (r *run) durableTakeover() error {
	const channels, size = 64, 4 << 10
	lines := 64 << 20 / channels / size
	if r.quick {
		lines /= 16
	}
	r.kept = synced
	defer func() { r.kept = "" }()
	client := &http.Client{Timeout: 20 * time.Second}
	var took []time.Duration
	for range max(r.runs, 1) {
		three, err := r.relay(nodeCount, 1) // so that all is in one log
		if err != nil {
			return err
		}
		if err := r.move(channel, 2); err != nil {
			return err
		}
		var wait sync.WaitGroup
		failed := make(chan error, channels)
		for i := range channels {
			wait.Go(func() {
				var body []byte
				for n := range lines {
					body = fmt.Appendf(body, `{"channel":"bench:%d","data":%q}`+"\n", i, strings.Repeat("x", size))
					if len(body) < 512<<10 && n < lines-1 { // a request is 1 MiB at most
						continue
					}
					if err := post(client, 2, body); err != nil {
						failed <- err
						return
					}
					body = body[:0]
				}
			})
		}
		wait.Wait()
		if len(failed) > 0 {
			return fmt.Errorf("publish: %w", <-failed)
		}
		d, err := r.kill(three[2], client)
		if err != nil {
			return err
		}
		took = append(took, d)
		r.stopAll()
	}
	slices.Sort(took)
	r.printf("\nFrom `kill -9` of a node to which %d MiB were just published, with its server, to the first publication that is acknowledged on another to one of its durable channels (of %d): median %.1f s, at most %.1f s, at least %.1f s.",
		channels*lines*size>>20, len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds(), took[0].Seconds())
	return nil
}
