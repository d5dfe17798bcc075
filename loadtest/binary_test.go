package loadtest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"weir/loadtest"
	"weir/loadtest/protocol"
	"weir/loadtest/report"
)

// startBinary serves a protocol of binary frames: what comes is JSON in a binary frame; what goes out has four bytes before
// it, and two messages in each frame, one a line.
func startBinary(t *testing.T) (s *httptest.Server, texts func() int) {
	t.Helper()
	var mu sync.Mutex
	follows, wrong := map[string][]chan []byte{}, 0
	ctx, stop := context.WithCancel(context.Background())
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		own, done := context.WithCancel(ctx)
		defer done()
		send := make(chan []byte, 10_000)
		go func() { // ends with the connection
			for {
				select {
				case <-own.Done():
					return
				case msg := <-send:
					if c.Write(own, websocket.MessageBinary, append([]byte{0, 1, 2, 3}, msg...)) != nil {
						return
					}
				}
			}
		}()
		for {
			kind, msg, err := c.Read(own)
			if err != nil {
				return
			}
			var m struct {
				Join, To string
				Body     json.RawMessage
			}
			mu.Lock()
			if kind != websocket.MessageBinary || json.Unmarshal(msg, &m) != nil {
				wrong++
			}
			if m.Join != "" {
				follows[m.Join] = append(follows[m.Join], send)
				send <- []byte("{\"joined\":\"" + m.Join + "\"}\n\n")
			}
			for _, to := range follows[m.To] {
				body, _ := json.Marshal(map[string]any{"room": m.To, "body": m.Body})
				to <- append([]byte("{\"noise\":true}\n"), append(body, '\n')...)
			}
			mu.Unlock()
		}
	}))
	t.Cleanup(func() {
		stop()
		s.Close()
	})
	return s, func() int {
		mu.Lock()
		defer mu.Unlock()
		return wrong
	}
}

// Binary frames, bytes before the message, and several messages in a frame.
func TestBinaryProtocols(t *testing.T) {
	s, wrong := startBinary(t)
	p := &protocol.Protocol{
		Binary: true, Open: []protocol.Step{{Send: `{"join":"{{channel}}"}`, Expect: &protocol.Pattern{Match: map[string]any{"joined": "*"}}}},
		Message: protocol.Arrival{Pattern: protocol.Pattern{Match: map[string]any{"body": "*"}}, Channel: "room", Data: "body", Lines: true, Offset: 4},
		Publish: protocol.Publish{Send: `{"to":"{{channel}}","body":{{payload}}}`},
	}
	cfg := described(&wireServer{http: s}, p)
	rec, err := loadtest.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	res := report.New(rec)
	if res.Expected+4*res.Unsent != 36*4 || res.Received != res.Expected || res.Duplicated+res.Corrupted+res.Reordered != 0 || wrong() != 0 {
		t.Errorf("expected %d, received %d, corrupted %d; %d frames were wrong: %v", res.Expected, res.Received, res.Corrupted, wrong(), res.Troubles)
	}
	p.Message.Offset = 3 // a byte too few: nothing is understood, and all is lost
	if rec, err = loadtest.Run(t.Context(), cfg); err == nil {
		if res = report.New(rec); res.Received != 0 || res.Valid {
			t.Errorf("with another offset %d were received", res.Received)
		}
	}
}
