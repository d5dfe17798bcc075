package relay

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"weir/relay/config"
)

// TestTracingOffIsFree: while nothing is traced, a publication allocates what it would if there were no traces, and a traceparent costs nothing.
func TestTracingOffIsFree(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	publish := func(g *rig, kind, body, parent string) float64 {
		ctx := request(kind, body)
		if parent != "" {
			ctx.Request.Header.Set("traceparent", parent)
		}
		handle := g.relay.api.HTTP().Handler
		n := testing.AllocsPerRun(500, func() {
			ctx.Response.Reset()
			handle(ctx)
		})
		if ctx.Response.StatusCode() != fasthttp.StatusOK {
			t.Fatalf("%s", ctx.Response.Body())
		}
		return n
	}
	off := launch(t, openConfig())
	cfg := openConfig()
	cfg.Tracing = config.Tracing{Endpoint: "http://127.0.0.1:1", Sample: new(float64)}
	on := launch(t, cfg)
	line := `{"channel":"bench:1","data":"` + strings.Repeat("x", 128) + `"}`
	for _, kind := range []string{"application/json", "application/x-ndjson"} {
		bare := publish(off, kind, line, "")
		if n := publish(off, kind, line, parent); n != bare {
			t.Errorf("%s: %v allocations with a traceparent, %v without", kind, n, bare)
		}
		if n := publish(on, kind, line, parent); n <= bare {
			t.Errorf("%s: %v allocations of what is traced, %v of what is not: this test sees nothing", kind, n, bare)
		}
		t.Logf("%s: %v allocations", kind, bare)
	}
}
