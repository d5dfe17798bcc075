package relaytest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
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
	about string            // the resource
	nodes map[string]string // service.instance.id, by the id of a span
}

func newCollector(t *testing.T) *collected {
	c := &collected{nodes: make(map[string]string)}
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
				for _, span := range s.Spans {
					for _, a := range rs.Resource.Attributes {
						if a.Key == "service.instance.id" {
							c.nodes[string(span.SpanId)] = a.Value.GetStringValue()
						}
					}
				}
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
	p.Type("subscribed") // to one of them: the disk is waited for
	p.Type("subscribed")
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
	for _, query := range []string{"channel=room:1&seq=1", "channel=room:1&seq=2", "channel=room:1&seq=3", "channel=kept:1&seq=1"} {
		relaytest.Until(t, "the last write is known of "+query, func() bool { return strings.Contains(where(query), "last write") })
	}
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

// TestTracesOfNodes: a publication is followed on each node that has somebody who follows its channel, whichever it came to and whichever owns the
// channel: below its span stands one of each other node, and all of that is one trace.
func TestTracesOfNodes(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	var none float64
	n := relaytest.Cluster(t, 3, func(cfg *config.Config) { cfg.Tracing = config.Tracing{Endpoint: c.URL, Sample: &none} }, nil)
	n.Move("room:1", 0)
	var followers []*relaytest.Peer
	for i, g := range n.Rigs {
		p := g.WS(fmt.Sprint("u", i), "/ws?channel=room:1")
		p.Until(func(m relaytest.Message) bool { return m["type"] == "subscribed" && m["channel"] == "room:1" })
		followers = append(followers, p)
	}
	id := func(n int) string { return fmt.Sprintf("%s%02d", trace[:30], n) }
	for i, g := range n.Rigs { // the first owns the channel
		header := "traceparent: 00-" + id(i) + "-" + parent + "-01"
		if status, _, out := g.Do("POST", "/v1/publish", fmt.Sprintf(`{"channel":"room:1","data":"traced %d"}`, i), "Authorization: Bearer the-key-of-the-backend-in-the-tests", "Content-Type: application/json", header); status != 200 {
			t.Fatal(status, out)
		}
	}
	n.Rigs[1].Backend("POST", "/v1/publish", `{"channel":"room:1","data":"the last one"}`)
	for _, p := range followers {
		p.Until(func(m relaytest.Message) bool { return strings.Contains(fmt.Sprint(m), "the last one") })
	}
	for i, g := range n.Rigs {
		relaytest.Until(t, "each node knows the last write", func() bool {
			resp, err := http.Get(g.Admin + "/trace?channel=room:1&seq=2")
			if err != nil {
				t.Fatal(i, err)
			}
			defer func() { _ = resp.Body.Close() }()
			text, _ := io.ReadAll(resp.Body)
			return strings.Contains(string(text), id(1)) && strings.Contains(string(text), "last write")
		})
	}
	for _, g := range n.Rigs {
		g.Stop()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	steps := []string{"accepted", "first write", "frame", "last write", "window"}
	for i := range n.Rigs {
		below := make(map[string][]string) // names of spans by the id of their parent
		var tops []*otlp.Span              // of nodes
		for _, s := range c.spans {
			switch {
			case hex.EncodeToString(s.TraceId) != id(i):
			case s.Name == "publish" || s.Name == "deliver":
				tops = append(tops, s)
			default:
				below[string(s.ParentSpanId)] = append(below[string(s.ParentSpanId)], s.Name)
			}
		}
		var root []byte
		nodes := make(map[string]string)
		for _, s := range tops {
			nodes[c.nodes[string(s.SpanId)]] = s.Name
			if s.Name == "publish" {
				root = s.SpanId
			}
			got, want := below[string(s.SpanId)], steps
			if s.Name == "publish" && i > 0 { // it waits for the owner's answer
				want = slices.Sorted(slices.Values(append([]string{"stored"}, steps...)))
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%d: %s of %s has %v", i, s.Name, c.nodes[string(s.SpanId)], got)
			}
		}
		for _, s := range tops {
			if s.Name == "deliver" && !bytes.Equal(s.ParentSpanId, root) {
				t.Error("not below the publication:", s)
			}
		}
		want := map[string]string{"node-0": "deliver", "node-1": "deliver", "node-2": "deliver"}
		want[fmt.Sprint("node-", i)] = "publish"
		if len(tops) != 3 || !maps.Equal(nodes, want) {
			t.Errorf("%d: %v, want %v", i, nodes, want)
		}
	}
	if len(c.spans) != 3*3*(1+len(steps))+2 {
		t.Error(len(c.spans), "spans") // what is not sampled is traced nowhere
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
