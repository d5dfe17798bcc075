package tracing

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/internal/contain"
	"weir/relay/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes a tracer of all messages, whose collector takes everything.
func open(t *testing.T, hook contain.Hook) *Tracer {
	t.Helper()
	c := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	all := 1.0
	x, err := Open(config.Tracing{Endpoint: c.URL, Sample: &all}, "", slog.New(slog.DiscardHandler), hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.Close()
		c.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return x
}

// TestPatience: a message of which nothing more is heard is given up, and a panic over that costs its spans only.
func TestPatience(t *testing.T) {
	before := patience
	patience = time.Millisecond
	t.Cleanup(func() { patience = before })
	thrown := make(chan string, 1)
	contain.Throw(func(where string) {
		if where == "trace of a message" && len(thrown) == 0 {
			thrown <- where
			panic("thrown by the test")
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	told := make(chan string, 1)
	x := open(t, func(where string, _ any) { told <- where })
	x.Begin("a", "").Accepted("e", 1, false)
	if where := <-told; where != "trace of a message" {
		t.Error(where)
	}
	m := x.Begin("a", "")
	m.Accepted("e", 2, false)
	for x.active.Load() > 1 { // the other one's spans are lost
		<-time.After(time.Millisecond)
	}
}

// TestBounds: no more is followed than may be, whatever becomes of it, and a position that comes late finds its window.
func TestBounds(t *testing.T) {
	x := open(t, nil)
	var list []*Message
	for range most {
		list = append(list, x.Begin("a", ""))
	}
	if x.Begin("a", "") != nil || x.skipped.Load() != 1 {
		t.Error("one too many is followed")
	}
	f := x.Flushing("a", "e", 10, 10)
	f.Built()
	f.Sent(1)
	f.Wrote(time.Now(), time.Now())
	for i, m := range list {
		switch {
		case i < 10:
			m.Accepted("e", uint64(i+1), false)
		default:
			m.Failed(errors.New("no"))
		}
	}
	if n := x.active.Load(); n != 0 {
		t.Error(n, "are left")
	}
	if len(x.under) != 0 {
		t.Error(x.under)
	}
	if s := x.Of("a", 3); s != nil && s.Last.IsZero() {
		t.Error(s)
	}
}

// TestOff: without a collector there is no tracer, and nothing is asked of it.
func TestOff(t *testing.T) {
	x, err := Open(config.Tracing{}, "", nil, nil)
	if x != nil || err != nil || x.Active() || x.Of("a", 1) != nil {
		t.Error(x, err)
	}
	x.Close()
}
