package loadtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage reads what the target has used so far: CPU in ns and resident memory in bytes. nil when it is
// not known.
type usage func() (cpu, rss int64, err error)

// findUsage decides how to know what the target uses. It tries once, so that a wrong pid or address is
// told before the test.
func findUsage(ctx context.Context, cfg *Config, at []netip.AddrPort) (usage, error) {
	var u usage
	switch {
	case len(cfg.PIDs) > 0:
		u = processes(cfg.PIDs)
	case cfg.Metrics != "":
		u = metrics(ctx, cfg.Metrics)
	case cfg.FindPID:
		var pids []int
		for _, a := range at {
			for _, pid := range listeners(a.Port()) {
				if !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		}
		if len(pids) == 0 {
			return nil, nil // not found: not known, and not an error since nobody named one
		}
		u = processes(pids)
	default:
		return nil, nil
	}
	if _, _, err := u(); err != nil {
		return nil, setupError("usage of the target: %w", err)
	}
	return u, nil
}

// processes adds up several processes, as of a server with workers.
func processes(pids []int) usage {
	return func() (cpu, rss int64, err error) {
		for _, pid := range pids {
			c, r, err := processUsage(pid)
			if err != nil {
				return 0, 0, fmt.Errorf("process %d: %w", pid, err)
			}
			cpu += c
			rss += r
		}
		return cpu, rss, nil
	}
}

// metricsMost bounds what is read of a metrics page, in bytes.
const metricsMost = 16 << 20

// metrics reads a page of Prometheus metrics.
func metrics(ctx context.Context, address string) usage {
	client := &http.Client{Timeout: 2 * time.Second}
	return func() (cpu, rss int64, err error) {
		req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
		if err != nil {
			return 0, 0, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		defer func() { _ = resp.Body.Close() }() // only read
		if resp.StatusCode != 200 {
			return 0, 0, fmt.Errorf("%s returned status %s", address, resp.Status)
		}
		return parseMetrics(io.LimitReader(resp.Body, metricsMost))
	}
}

// parseMetrics finds the two standard metrics of a process.
func parseMetrics(r io.Reader) (cpu, rss int64, err error) {
	found := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name != "process_cpu_seconds_total" && name != "process_resident_memory_bytes" {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("metric %s: %q", name, value)
		}
		found++
		if name == "process_cpu_seconds_total" {
			cpu = int64(v * 1e9)
		} else {
			rss = int64(v)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, 0, err
	}
	if found < 2 {
		return 0, 0, fmt.Errorf("no process_cpu_seconds_total and process_resident_memory_bytes among the metrics")
	}
	return cpu, rss, nil
}

// collectGarbage asks a Go target with pprof beside its metrics to collect garbage, so that memory can
// be compared. It does no harm where there is no such thing.
func collectGarbage(ctx context.Context, metricsAddress string) {
	u, err := url.Parse(metricsAddress)
	if err != nil || u.Host == "" {
		return
	}
	u.Path, u.RawQuery = "/debug/pprof/heap", "gc=1"
	req, err := http.NewRequestWithContext(ctx, "GET", u.String(), nil)
	if err != nil {
		return
	}
	client := &http.Client{Timeout: 10 * time.Second}
	if resp, err := client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, metricsMost)) // only its side effect matters
		_ = resp.Body.Close()                                              // only read
	}
	client.CloseIdleConnections()
}
