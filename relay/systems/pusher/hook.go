package pusher

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/internal/retry"
	"weir/internal/safedial"
	"weir/internal/wire"
	"weir/relay/systems/internal/post"
	"weir/relay/systems/internal/retryqueue"
	"weir/relay/systems/pusher/protocol"
)

// hook is an address that is told what happens in an app.
type hook struct {
	// Set once.
	app    *app
	config Webhook
	key    Key
	signer *protocol.Signer
	header http.Header
	client *http.Client
	queue  *retryqueue.Queue[*hookEvent]
	cancel context.CancelFunc // ends attempts

	retired time.Time // since when it gets no more events; guarded by the system's mu
}

// hookEvent is an event for a webhook.
type hookEvent struct {
	body  []byte // JSON
	since time.Time
	tries int
}

// The bounds of attempts at an event.
const (
	hookPatience = 5 * time.Minute
	hookParallel = 8
	firstWait    = time.Second
	longestWait  = time.Minute
)

func newHook(a *app, w *Webhook, k Key, dev bool) *hook {
	h := &hook{app: a, config: *w, key: k, signer: protocol.NewSigner(k.Key, k.Secret), client: safedial.For(w.Timeout, w.AllowInsecure, dev), header: http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"weir"}, "X-Pusher-Key": {k.Key}, // the whole value of the type: SDKs compare it
	}}
	for _, line := range w.Headers {
		name, value, _ := strings.Cut(line, ":")
		if h.header.Get(name) == "" {
			h.header.Set(name, strings.TrimSpace(value))
		}
	}
	ctx, cancel := context.WithCancel(a.system.ctx)
	h.cancel = cancel
	h.queue = retryqueue.New(ctx, retryqueue.Options[*hookEvent]{
		Attempt: h.attempt, Parallel: hookParallel, Batch: w.Batch, Limit: w.Queue, Backoff: firstWait,
		Weight: func(e *hookEvent) int { return len(e.body) }, MaxWeight: 1 << 20, Contain: a.system.host.Contain(),
	})
	return h
}

// same reports whether a webhook is the one that this is for.
func (h *hook) same(w *Webhook, keys []Key) bool {
	return reflect.DeepEqual(&h.config, w) && h.key == keys[0]
}

// wants reports whether the webhook is told of an event of a channel.
func (h *hook) wants(event, channel string) bool {
	w := &h.config
	return (len(w.Events) == 0 || slices.Contains(w.Events, event)) && strings.HasPrefix(channel, w.StartsWith) && strings.HasSuffix(channel, w.EndsWith)
}

// tell tells the webhooks that want it of an event; more is its further members, each behind a comma. It does not block.
func (a *app) tell(event, channel string, more []byte) {
	n := a.settings.Load()
	if !n.told[event] {
		return
	}
	b := append(append([]byte(`{"name":"`), event...), `","channel":`...)
	b = append(append(wire.AppendString(b, channel), more...), '}')
	for _, h := range n.hooks {
		if !h.wants(event, channel) {
			continue
		}
		if !h.queue.Reserve() {
			a.counters.hooks["dropped"].Inc()
			continue
		}
		h.queue.Fill(channel, &hookEvent{body: b, since: time.Now()}) // those of a channel stay in order
	}
}

// attempt sends the events of a batch in one request.
func (h *hook) attempt(ctx context.Context, b *retryqueue.Batch[*hookEvent]) {
	now := time.Now()
	body := strconv.AppendInt([]byte(`{"time_ms":`), now.UnixMilli(), 10)
	body = append(body, `,"events":[`...)
	for i := range b.Parts {
		for _, e := range b.Parts[i].Items {
			if body[len(body)-1] == '}' {
				body = append(body, ',')
			}
			body = append(body, e.body...)
			e.tries++
		}
	}
	body = append(body, "]}"...)
	header := h.header.Clone()
	header.Set("X-Pusher-Signature", h.signer.HexSign(string(body)))
	limit, cancel := context.WithTimeout(ctx, h.config.Timeout)
	defer cancel()
	resp, err := post.Send(limit, h.client, h.config.URL, header, body, 4<<10)
	delivered := resp != nil && resp.Status >= 200 && resp.Status < 300
	if !delivered {
		trouble := safedial.Problem(err)
		if resp != nil {
			trouble = "it returned status " + strconv.Itoa(resp.Status)
		}
		h.app.system.host.Log().Warn("webhook of an app failed", "app", h.app.name, "problem", cmp.Or(trouble, "no response"))
	}
	counters := h.app.counters.hooks
	for i := range b.Parts {
		var r retryqueue.Result
		items := b.Parts[i].Items
		for _, e := range items {
			switch {
			case delivered:
				counters["delivered"].Inc()
			case now.Sub(e.since) >= hookPatience:
				counters["expired"].Inc()
			default:
				counters["retried"].Inc()
				continue
			}
			r.Done++ // the first ones: later ones are younger
		}
		if r.Done == 0 {
			r.At = time.Now().Add(retry.Backoff(items[0].tries, firstWait, longestWait))
		}
		b.Settle(r)
	}
}

// stopIdle stops a webhook that has nothing to deliver and gets nothing more, and reports whether it did.
func (h *hook) stopIdle() bool {
	idle := h.queue.Len() == 0 && time.Since(h.retired) > time.Minute // a removed app's clients have gone by then
	if idle {
		h.stop()
	}
	return idle
}

// stop gives up what waits.
func (h *hook) stop() {
	h.cancel()
	h.queue.Stop()
	h.client.CloseIdleConnections()
}
