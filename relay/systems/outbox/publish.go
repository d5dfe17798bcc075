package outbox

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/problem"
)

// pending is a row whose change is not safe yet.
type pending struct {
	row     *row
	receipt broker.Receipt
}

// publish publishes rows in their order, and waits until what they say is as safe as their channels promise. Rows of channels that refuse for now stay
// where they are, with all behind them of the same channel.
func (r *reader) publish(rows []row) (o *outcome) {
	o = &outcome{}
	var waits []pending
	ahead := make(map[string]int) // how many of waits, by channel, of those whose order another node decides
	for i := range rows {
		w := &rows[i]
		if ahead[w.channel] > 0 {
			waits, ahead = r.settle(waits, o), make(map[string]int)
		}
		if r.holds.waits(w.channel) {
			continue
		}
		receipt, err := r.submit(w)
		switch {
		case err != nil:
			r.refused(o, w, err)
		case receipt.Wait == nil:
			r.accepted(o, w)
		default:
			waits = append(waits, pending{w, receipt})
			if receipt.Position.Epoch == "" {
				ahead[w.channel]++
			}
		}
	}
	r.settle(waits, o)
	return o
}

// settle waits for what is not safe yet.
func (r *reader) settle(waits []pending, o *outcome) []pending {
	for i := range waits {
		w := &waits[i]
		if _, err := w.receipt.Settle(); err != nil {
			r.refused(o, w.row, err)
		} else {
			r.accepted(o, w.row)
		}
	}
	return waits[:0]
}

// submit publishes a row as POST /v1/publish does.
func (r *reader) submit(w *row) (broker.Receipt, error) {
	if w.size > r.table.limit {
		return broker.Receipt{}, problem.TooLarge.With(fmt.Sprintf("data has %d bytes: limits.message is %d", w.size, r.table.limit))
	}
	if w.data != nil {
		if err := wire.ValidJSON(w.data); err != nil {
			return broker.Receipt{}, err
		}
	}
	if w.ttl < 0 {
		return broker.Receipt{}, problem.BadField.With("ttl must be a whole number of ms, 0 or more")
	}
	return r.system.host.SubmitCommand(&wire.Command{
		Channel: w.channel, Op: w.op, Group: w.group, Key: w.key, Data: wire.OneLine(w.data), TTL: w.ttl,
		IdempotencyKey: fmt.Sprintf("outbox:%s:%d:%d", r.table.name, w.id, w.created.UnixMicro()),
		Traceparent:    w.traceparent,
	})
}

func (r *reader) accepted(o *outcome, w *row) {
	o.published, o.created = append(o.published, w.id), append(o.created, w.created)
	if !r.holds.waits(w.channel) {
		delete(r.holds, w.channel)
	}
	r.system.counters.published.Inc()
}

// refused sets a row aside, or has its channel wait if the same may succeed later.
func (r *reader) refused(o *outcome, w *row, err error) {
	p := problem.Of(err)
	if p.Retryable || p.Status >= http.StatusInternalServerError {
		if !r.holds.waits(w.channel) {
			r.system.counters.retries.Inc()
			r.holds.refuse(w.channel, r.now())
			r.system.tell(slog.LevelWarn, "rows of a channel wait: the first one cannot be published at the moment and is tried again", "refused", time.Minute,
				slog.String("channel", w.channel), slog.Int64("id", w.id), slog.String("error", p.Error()), slog.Int("channels", len(r.holds)))
		}
		return
	}
	reason := p.Error()
	if p.Detail != "" {
		reason += ": " + p.Detail
	}
	o.failed, o.reasons = append(o.failed, w.id), append(o.reasons, strings.ToValidUTF8(reason, "?"))
	r.system.counters.failed.Inc()
	r.system.tell(slog.LevelWarn, "a row can never be published and is set aside", "aside", time.Second,
		slog.String("table", r.table.name), slog.Int64("id", w.id), slog.String("reason", reason))
}
