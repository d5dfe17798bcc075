package relaytest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"weir/relay/config"
	"weir/relay/relaytest"
)

// collected is a collector that takes OTLP over HTTP.
type collected struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
	about string // the resource
}

func newCollector(t *testing.T) *collected {
	c := &collected{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			body, _ = io.ReadAll(z)
		}
		var in collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &in); err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Error(err, r.URL, r.Header)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range in.ResourceSpans {
			c.about = fmt.Sprint(rs.Resource)
			for _, s := range rs.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// of are the names of the spans of a trace, each with its parent's, in the order in which they end.
func (c *collected) of(t *testing.T, trace string) (names []string, root *otlp.Span) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*otlp.Span
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == trace {
			list = append(list, s)
			if s.Name == "publish" {
				root = s
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *otlp.Span) int { return int(int64(a.EndTimeUnixNano) - int64(b.EndTimeUnixNano)) })
	for _, s := range list {
		if s.EndTimeUnixNano < s.StartTimeUnixNano || root != nil && s != root && (!bytes.Equal(s.ParentSpanId, root.SpanId) || s.EndTimeUnixNano > root.EndTimeUnixNano) {
			t.Error("a span ends before it begins, or is not its parent's part:", s)
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names, root
}

const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

// TestTraces: a publication with a sampled traceparent is followed to the last write, whichever way it came, and a collector hears of it.
func TestTraces(t *testing.T) {
	c := newCollector(t)
	var none float64
	data := t.TempDir()
	g := relaytest.Start(t, func(cfg *config.Config) {
		cfg.Tracing = config.Tracing{Endpoint: c.URL, Sample: &none}
		cfg.Data, cfg.Cluster.Node = data, "n1"
		cfg.Namespaces["kept"] = config.Namespace{Durable: true, Subscribe: config.Authenticated}
	})
	p := g.WS("u1", "/ws?channel=room:1&channel=kept:1")
	p.Type("connected")
	publish := func(body, kind, id, flags string) {
		t.Helper()
		header := "traceparent: 00-" + id + "-" + parent + "-" + flags
		if id == "" {
			header = ""
		}
		if status, _, out := g.Do("POST", "/v1/publish", body, "Authorization: Bearer the-key-of-the-backend-in-the-tests", "Content-Type: "+kind, header); status != 200 {
			t.Fatal(status, out)
		}
	}
	id := func(n int) string { return fmt.Sprintf("%s%02d", trace[:30], n) }
	publish(`{"channel":"room:1","data":1}`, "application/json", id(1), "01")
	publish(`{"channel":"kept:1","data":1}`, "application/json", id(2), "01")
	publish(`{"channel":"room:1","data":2,"traceparent":"00-`+id(3)+`-`+parent+`-01"}`+"\n"+`{"channel":"room:1","data":3}`, "application/x-ndjson", id(4), "01")
	publish(`{"channel":"nobody:1","data":1}`, "application/json", id(5), "01")
	publish(`{"channel":"room:1","data":4}`, "application/json", id(6), "00") // not sampled
	publish(`{"channel":"room:1","data":5}`, "application/json", "", "")
	publish(`{"channel":"room:1","data":6,"traceparent":"wrong"}`, "application/json", "", "")
	p.Until(func(m relaytest.Message) bool { return strings.Contains(fmt.Sprint(m), "data:6") })
	where := func(query string) string {
		t.Helper()
		resp, err := http.Get(g.Admin + "/trace?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	relaytest.Until(t, "the last write is known", func() bool { return strings.Contains(where("channel=room:1&seq=1"), "last write") })
	for query, want := range map[string]string{"channel=room:1&seq=1": `"published":true,"logged":true,"change":{"data":1,"op":"send","seq":1},"followers":1,"flushed":true,"waiting":[],"trace":{"traceId":"` + id(1),
		"channel=room:1&seq=6": `"seq":6`, "channel=room:1&seq=7": `"published":false`, "channel=kept:1&seq=1": `{"name":"stored"`, "channel=nobody:1&seq=1": `"followers":0`, "channel=&seq=1": "bad_channel", "channel=a&seq=0": "bad_request"} {
		if got := where(query); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := where("channel=room:1&seq=5"); strings.Contains(got, "traceId") {
		t.Error("not traced:", got)
	}
	g.Stop() // sends what is left
	base := []string{"accepted", "first write", "frame", "last write", "publish", "window"}
	for n, want := range map[int][]string{1: base, 2: {"accepted", "first write", "frame", "last write", "publish", "stored", "window"}, 3: base, 4: base, 5: {"accepted", "publish"}, 6: nil} {
		got, root := c.of(t, id(n))
		if !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
		if root != nil && hex.EncodeToString(root.ParentSpanId) != parent {
			t.Error("not of the trace that was named:", root)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.spans); n != 3*len(base)+len(base)+1+2 {
		t.Error(n, "spans")
	}
	if !strings.Contains(c.about, `"weir"`) || !strings.Contains(c.about, `"n1"`) {
		t.Error(c.about)
	}
}

// TestTracesOfTheirOwn: what brings no traceparent is traced as often as is asked for, and users cannot name a trace.
func TestTracesOfTheirOwn(t *testing.T) {
	c := newCollector(t)
	all := 1.0
	g := relaytest.Start(t, func(cfg *config.Config) { cfg.Tracing = config.Tracing{Endpoint: c.URL + "/", Sample: &all} })
	p := g.WS("u1", "/ws?channel=room:1")
	p.Type("connected")
	p.Send(relaytest.Message{"type": "publish", "id": 1, "channel": "room:1", "data": 1, "traceparent": "00-" + trace + "-" + parent + "-00"})
	p.Type("ok")
	g.Backend("POST", "/v1/publish", `{"channel":"room:1","data":2}`)
	g.Backend("POST", "/v1/publish", `{"channel":"room:1","op":"set","data":2}`) // refused
	g.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	roots, failed := 0, 0
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == trace {
			t.Error("a user's trace")
		}
		if s.Name == "publish" {
			roots++
		}
		if s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
			failed++
		}
	}
	if roots != 3 || failed != 1 {
		t.Error(roots, failed)
	}
}
