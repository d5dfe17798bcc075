package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// result is what weir bench says of a run, as far as it counts here.
type result struct {
	Received, Lost uint64
	Published      float64                    `json:"publishesPerSecond"`
	Latency        struct{ P50, P99 float64 } `json:"latencyMs"`
	CPU            float64                    `json:"serverCpu"` // cores
	Seconds        float64
	Valid          bool
	Why            []string `json:"invalidBecause"`
	spent          float64  // seconds of CPU that the servers have used
}

// bench runs weir bench. A run that is not valid counts all the same: the page says so.
func (r *run) bench(servers []*process, args ...string) (x result, err error) {
	length := "5s"
	if r.quick {
		length = "1s"
	}
	args = append([]string{"bench"}, append(args, "--duration", length, "--warmup", "1s", "--json")...)
	cmd := exec.CommandContext(r.ctx, filepath.Join(r.bin, "weir"), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	before := cpu(servers...)
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		return x, fmt.Errorf("weir %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	x.spent = cpu(servers...) - before
	if err := json.Unmarshal(out.Bytes(), &x); err != nil {
		return x, fmt.Errorf("weir %s: %w", strings.Join(args, " "), err)
	}
	return x, nil
}

// closed are the flags of publishers each of which sends its next request when the last one is answered.
func closed(publishers, batch int) []string {
	return []string{"ingress", "--closed", "--publishers", strconv.Itoa(publishers), "--batch", strconv.Itoa(batch), "--inflight", strconv.Itoa(publishers * batch)}
}

// median is that of several runs, by a figure.
func (r *run) median(by func(x *result) float64, one func() (result, error)) (result, error) {
	var list []result
	for range r.runs {
		x, err := one()
		if err != nil {
			return x, err
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b result) int { return cmp.Compare(by(&a), by(&b)) })
	return list[len(list)/2], nil
}

func p50(x *result) float64   { return x.Latency.P50 }
func rate(x *result) float64  { return x.Published }
func cores(x *result) float64 { return x.CPU }

// mark is why a run does not count; "" if it does.
func (x *result) mark() string {
	if x.Valid {
		return ""
	}
	return strings.Join(x.Why, "; ")
}
