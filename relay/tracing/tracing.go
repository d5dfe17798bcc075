package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"weir/internal/buildinfo"
	"weir/internal/contain"
	"weir/relay/config"
)

// patience is how long a message is followed after it was accepted: longer than the longest window.
var patience = 12 * time.Second // set by tests only

// most bounds the messages that are followed at once.
const most = 4096

// kept is how many messages are remembered for those who ask where one is.
const kept = 1024

// lastExport is how long a shutdown waits for the collector.
const lastExport = 3 * time.Second

// Tracer follows published messages. Of a nil Tracer, which follows none, only Active, Of and Close may be called.
type Tracer struct {
	// Set once.
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	contain  contain.Hook

	// Atomic.
	active  atomic.Int64  // messages under way
	skipped atomic.Uint64 // messages that were not traced because of most

	// Guarded by mu.
	mu     sync.Mutex
	under  map[string][]*Message // by channel, those that were not flushed yet
	recent [kept]*Message        // a ring
	next   int
}

// Open returns a tracer, or nil if no collector is configured. The library reads the variables OTEL_* as well. Open returns an error if the
// endpoint is not an address. A collector that is not reached is no error: spans are dropped, and the log says so.
func Open(c config.Tracing, node string, log *slog.Logger, hook contain.Hook) (*Tracer, error) {
	if !c.On() {
		return nil, nil
	}
	var options []otlptracehttp.Option
	if c.Endpoint != "" {
		address := strings.TrimSuffix(c.Endpoint, "/")
		if strings.Count(address, "/") == 2 { // without a path
			address += "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(address))
	}
	exporter, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	about := []attribute.KeyValue{attribute.String("service.name", "weir"), attribute.String("service.version", buildinfo.Read().Version)}
	if node != "" {
		about = append(about, attribute.String("service.instance.id", node))
	}
	res, err := resource.New(context.Background(), resource.WithAttributes(about...), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		log.Warn("tracing: the variables OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are wrong", slog.String("error", err.Error()))
	}
	var last atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if now := time.Now().Unix(); now-last.Load() >= 60 {
			last.Store(now)
			log.Warn("tracing: spans are dropped", slog.String("error", err.Error()))
		}
	}))
	provide := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(res)}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		provide = append(provide, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(*c.Sample))))
	}
	t := &Tracer{provider: sdk.NewTracerProvider(provide...), contain: hook, under: make(map[string][]*Message)}
	t.tracer = t.provider.Tracer("weir")
	return t, nil
}

// Close ends the messages that are followed, and sends their spans. It waits for the collector for 3 seconds at most.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	var left []*Message
	for _, m := range t.recent {
		if m != nil && !m.ended {
			left = append(left, m)
		}
	}
	t.mu.Unlock()
	for _, m := range left {
		m.end()
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastExport)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the error handler has it
}

// Active reports whether any message is followed at the moment.
func (t *Tracer) Active() bool { return t != nil && t.active.Load() > 0 }

// Begin begins to follow a message that is about to be published. parent is the traceparent of its trace; "" begins a new one. Begin returns
// nil if the message is not sampled, or if too many are followed.
func (t *Tracer) Begin(channel, parent string) *Message { return t.begin(channel, parent, false) }

// Elsewhere begins to follow the part that this node has in a message that another node traces: parent is that node's Message.Traceparent. If
// this node traces the message itself, Elsewhere returns it, so that its position is known before its owner has answered.
func (t *Tracer) Elsewhere(channel, parent string) *Message {
	carried := trace.SpanContextFromContext(extract(parent))
	t.mu.Lock()
	for _, m := range t.recent {
		if m != nil && m.span.SpanContext().Equal(carried.WithRemote(false)) {
			t.mu.Unlock()
			return m
		}
	}
	t.mu.Unlock()
	return t.begin(channel, parent, true)
}

// extract is a context with the trace that a traceparent names; "" for none.
func extract(parent string) context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
}

func (t *Tracer) begin(channel, parent string, elsewhere bool) *Message {
	if t.active.Load() >= most {
		t.skipped.Add(1)
		return nil
	}
	ctx := context.Background()
	if parent != "" {
		ctx = extract(parent)
	}
	now, name := time.Now(), "publish"
	if elsewhere {
		name = "deliver"
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(now))
	if !span.IsRecording() {
		return nil
	}
	channel = strings.Clone(channel)
	span.SetAttributes(attribute.String("messaging.system", "weir"), attribute.String("messaging.operation.type", "send"), attribute.String("messaging.destination.name", channel))
	m := &Message{tracer: t, channel: channel, ctx: ctx, span: span, begun: now, elsewhere: elsewhere}
	t.active.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.under[channel] = append(t.under[channel], m)
	t.recent[t.next] = m
	t.next = (t.next + 1) % kept
	return m
}

// leave forgets a message among those that were not flushed. Called with mu held.
func (t *Tracer) leave(m *Message) {
	list := t.under[m.channel]
	if i := slices.Index(list, m); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if t.under[m.channel] = list; len(list) == 0 {
		delete(t.under, m.channel)
	}
}

// Of returns the steps of a message that was traced lately; nil if it was not.
func (t *Tracer) Of(channel string, seq uint64) *Steps {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range kept {
		m := t.recent[(t.next+kept-1-i)%kept] // the newest first
		if m != nil && m.known && m.channel == channel && m.seq == seq {
			return m.steps()
		}
	}
	return nil
}
