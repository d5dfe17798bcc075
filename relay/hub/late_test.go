package hub

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/batch"
	"weir/broker"
	"weir/pool"
	"weir/relay/problem"
	"weir/relay/stats"
)

// drop is a sink of which nobody reads.
type drop struct{}

func (drop) Flush(*batch.Batch) {}
func (drop) Missed(uint64)      {}

// While a busy loop is late for what it has accepted, publishers are refused; and not before, and not after.
func TestPublishersAreRefusedWhileLoopsAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool.New(pool.Config{Shards: 1})
		defer p.Close()
		b := batch.New(batch.Config{Load: func() float64 { return 1 }}) // driven by hand: a loop that is at something else
		h := &Hub{Counters: stats.New(metrics.NewSet(), func() float64 { return 0 }), Pool: p, Batchers: []*batch.Batcher{b}}
		w := b.Window(batch.Options{Window: 50 * time.Millisecond, Stretch: 4}, drop{})
		time.Sleep(time.Second)
		w.Append(batch.Message{Bytes: []byte("1"), Seq: 1})
		due := b.Run(time.Now())
		time.Sleep(time.Until(due))
		if err := h.admit(broker.Send, 1); err != nil {
			t.Errorf("refused in time: %v", err)
		}
		time.Sleep(300 * time.Millisecond)
		if err := h.admit(broker.Send, 1); !errors.Is(err, problem.Overloaded) {
			t.Errorf("accepted 300 ms late: %v", err)
		}
		b.Run(time.Now())
		if err := h.admit(broker.Send, 1); err != nil {
			t.Errorf("refused when all is written: %v", err)
		}
		if n := h.Counters.Shed.Of("late").Get(); n != 1 || h.Counters.Shed.Total() != 1 {
			t.Errorf("%d counted", n)
		}
	})
}
