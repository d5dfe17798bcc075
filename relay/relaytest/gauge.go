package relaytest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Gauge is the value of a metric on the admin listener, by its name with labels as they are shown there.
func (g *Rig) Gauge(name string) float64 {
	g.Helper()
	resp, err := http.Get(g.Admin + "/metrics")
	if err != nil {
		g.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				g.Fatal(err)
			}
			return v
		}
	}
	g.Fatalf("there is no metric %s", name)
	return 0
}

// Await returns when f is true; the test fails if that does not happen.
func (g *Rig) Await(f func() bool) {
	g.Helper()
	end := time.Now().Add(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(end) {
			g.Fatal("the awaited condition was not met")
		}
		<-tick.C
	}
}
