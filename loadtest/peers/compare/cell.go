package main

import (
	"slices"
	"strconv"
	"time"
)

// cell is one line of the comparison: a scenario, run against several servers.
type cell struct {
	name, title string
	scenario    string // of weir bench
	flags       []string
	subscribers int
	channels    int
	batch       int // messages in a request, for servers that take that
	measure     figure
	servers     []string
	// ceiling: deliveries/s at which the search for each server's highest rate begins. nil: flags say the rate.
	ceiling map[string]float64
	quick   bool // part of the short form
}

// figure is the number that a cell is about.
type figure string

const (
	deliveries figure = "deliveries/s"
	publishes  figure = "publishes/s"
	connects   figure = "connections/s"
	latency    figure = "p99, ms"
	memory     figure = "KiB a connection"
)

// lower reports whether less is better.
func (f figure) lower() bool { return f == latency || f == memory }

// closed reports whether the cell is a closed loop: the most that is got through, whatever its latency.
func (c cell) closed() bool { return c.measure == publishes || c.measure == connects }

// p99 is what the ceilings hold.
const p99 = 100 * time.Millisecond

var everybody = []string{"weir", "centrifuge", "nchan", "gws", "ws"}

func cells() []cell {
	return []cell{
		{
			name: "fan1000", title: "1 channel, 1000 subscribers, 128 B: most deliveries", scenario: "fanout", measure: deliveries,
			subscribers: 1000, channels: 1, batch: 20, flags: []string{"--publishers", "16"},
			servers: append(slices.Clone(everybody), "ws, batched"),
			ceiling: map[string]float64{"weir": 10e6, "centrifuge": 600e3, "nchan": 150e3, "gws": 150e3, "ws": 80e3, "ws, batched": 80e3},
		},
		{
			name: "fan5000", title: "1 channel, 5000 subscribers, 128 B: most deliveries", scenario: "fanout", measure: deliveries,
			subscribers: 5000, channels: 1, batch: 20, flags: []string{"--publishers", "16"}, servers: []string{"weir", "centrifuge", "nchan", "gws"},
			ceiling: map[string]float64{"weir": 10e6, "centrifuge": 250e3, "nchan": 130e3, "gws": 150e3},
		},
		{
			name: "fan1k", title: "1 channel, 1000 subscribers, 1 KiB: most deliveries", scenario: "fanout", measure: deliveries,
			subscribers: 1000, channels: 1, batch: 20, flags: []string{"--publishers", "16", "--payload", "1KiB"}, servers: []string{"weir", "centrifuge", "nchan", "gws"},
			ceiling: map[string]float64{"weir": 3e6, "centrifuge": 300e3, "nchan": 150e3, "gws": 150e3},
		},
		{
			name: "many", title: "500 channels, 10 subscribers each, 128 B, one message a request: most deliveries", scenario: "many", measure: deliveries,
			subscribers: 5000, channels: 500, batch: 1, flags: []string{"--publishers", "32", "--pipeline", "8"}, servers: []string{"weir", "centrifuge", "nchan", "gws"},
			ceiling: map[string]float64{"weir": 300e3, "centrifuge": 60e3, "nchan": 50e3, "gws": 50e3},
		},
		{
			name: "manybatch", title: "500 channels, 10 subscribers each, 128 B, 100 messages a request: most deliveries", scenario: "many", measure: deliveries,
			subscribers: 5000, channels: 500, batch: 100, flags: []string{"--publishers", "16"}, servers: []string{"weir", "centrifuge"},
			ceiling: map[string]float64{"weir": 1e6, "centrifuge": 80e3},
		},
		{
			name: "steady", title: "1 channel, 1000 subscribers, 50,000 deliveries/s: latency and CPU", scenario: "fanout", measure: latency,
			subscribers: 1000, channels: 1, batch: 1, flags: []string{"--rate", "50", "--publishers", "16"}, quick: true,
			servers: []string{"weir", "weir, no window", "centrifuge", "centrifuge, no delay", "nchan", "gws", "ws", "ws, batched"},
		},
		{
			name: "lone", title: "200 channels with 1 subscriber each, 1 message a second in each: latency of a lone message", scenario: "many", measure: latency,
			subscribers: 200, channels: 200, batch: 1, flags: []string{"--rate", "200"}, quick: true,
			servers: []string{"weir", "centrifuge, no delay", "nchan", "gws", "ws"},
		},
		{
			name: "idle", title: "5000 idle subscribers: memory of each", scenario: "idle", measure: memory,
			subscribers: 5000, channels: 100, batch: 1, servers: everybody, quick: true,
		},
		{
			name: "connect", title: "handshake and subscribe: most connections (closed loop)", scenario: "connect", measure: connects,
			channels: 100, batch: 1, flags: []string{"--closed", "--inflight", "64"}, servers: everybody, quick: true,
		},
		{
			name: "post", title: "publishing, one message a request, one request under way on each of 64 connections, nobody subscribed: most messages (closed loop)", scenario: "ingress", measure: publishes,
			channels: 16, batch: 1, flags: []string{"--closed", "--publishers", "64", "--inflight", "64"}, quick: true, servers: everybody,
		},
		{
			name: "ndjson", title: "publishing, 100 messages a request, nobody subscribed: most messages (closed loop)", scenario: "ingress", measure: publishes,
			channels: 16, batch: 100, flags: []string{"--closed", "--publishers", "16", "--inflight", "1600"}, servers: []string{"weir", "centrifuge"}, quick: true,
		},
	}
}

// timing is how long things take.
type timing struct {
	run, warmup   time.Duration // of a measured run
	probe         time.Duration // of one try of the search
	runs, retries int
}

// bench is the arguments of weir bench for a server. rate is messages a second, 0 when the flags say it; search
// looks for it.
func (c cell) bench(s server, t timing, rate float64, search bool) []string {
	args := []string{"bench", c.scenario, "--target", s.target, "--url", "http://" + address, "--channels", strconv.Itoa(c.channels)}
	if c.subscribers > 0 {
		args = append(args, "--subscribers", strconv.Itoa(c.subscribers))
	}
	args = append(args, c.flags...)
	if c.batch > 1 && s.batch {
		args = append(args, "--batch", strconv.Itoa(c.batch))
	}
	if s.prefix != "" {
		args = append(args, "--prefix", s.prefix)
	}
	if rate > 0 {
		args = append(args, "--rate", strconv.FormatFloat(rate, 'f', 1, 64))
	}
	if search {
		return append(args, "--find-max", "--p99", p99.String(), "--probe", t.probe.String(), "--duration", t.probe.String(), "--warmup", (t.warmup / 2).String(), "--json")
	}
	if c.scenario != "idle" {
		args = append(args, "--warmup", t.warmup.String())
	}
	return append(args, "--duration", t.run.String(), "--json")
}

// messages turns deliveries a second into messages a second.
func (c cell) messages(deliveries float64) float64 {
	return max(deliveries*float64(c.channels)/float64(c.subscribers), 1)
}
