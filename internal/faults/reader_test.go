//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/relay/relaytest/ledger"
)

// message is anything that the relay says.
type message struct {
	Type      string          `json:"type"`
	Channel   string          `json:"channel"`
	Code      any             `json:"code"`
	Seq       uint64          `json:"seq"`
	Data      json.RawMessage `json:"data"`
	Position  position        `json:"position"`
	Recovered bool            `json:"recovered"`
	Changes   []message       `json:"changes"`
	Messages  []message       `json:"messages"`
}

type position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// reader is a client that comes back and resumes, as a good one does, until it is stopped.
type reader struct {
	testing.TB
	servers  []*server // of which it takes one, each time
	features string    // "", or a query
	channels []string  // their places are their numbers in the ledger
	token    string
	seen     ledger.Reader

	// Guarded by mu.
	mu        sync.Mutex
	at        []position
	told      []int // resumes and snapshots, by channel
	recovered int
	snapshots int
	renamed   int             // resumes into another epoch
	gaps      []time.Duration // without a connection
	closes    map[int]int     // by code
}

func newReader(s *server, name string, channels []string) *reader {
	return &reader{TB: s.TB, servers: []*server{s}, channels: channels, token: token(s, name), seen: ledger.Reader{Name: name},
		at: make([]position, len(channels)), told: make([]int, len(channels)), closes: make(map[int]int)}
}

// run reads until ctx ends. It comes back after a pause with jitter, and sooner when the relay has said that it
// is only restarting.
func (r *reader) run(ctx context.Context) {
	var gone time.Time
	for ctx.Err() == nil {
		err := r.talk(ctx, func() {
			if !gone.IsZero() {
				r.mu.Lock()
				r.gaps = append(r.gaps, time.Since(gone))
				r.mu.Unlock()
			}
			gone = time.Time{}
		})
		if gone.IsZero() {
			gone = time.Now()
		}
		r.mu.Lock()
		if code := websocket.CloseStatus(err); code > 0 {
			r.closes[int(code)]++
		}
		r.mu.Unlock()
		select {
		case <-time.After(20*time.Millisecond + rand.N(80*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// talk connects, subscribes from where the reader stands and takes what comes. follows is called when all
// channels are followed.
func (r *reader) talk(ctx context.Context, follows func()) error {
	header := http.Header{"Authorization": {"Bearer " + r.token}}
	dial, cancel := context.WithTimeout(ctx, 5*time.Second)
	conn, _, err := websocket.Dial(dial, "ws://"+r.servers[rand.IntN(len(r.servers))].listen+"/ws"+r.features, &websocket.DialOptions{HTTPHeader: header})
	cancel()
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 26)
	var commands []map[string]any
	for i, channel := range r.channels {
		c := map[string]any{"type": "subscribe", "id": i, "channel": channel}
		if r.at[i].Epoch != "" {
			c["position"] = r.at[i]
		}
		commands = append(commands, c)
	}
	sent := 0
	for left := len(commands); err == nil; {
		if answered := len(commands) - left; answered == sent && left > 0 { // one message has 128 at most
			sent = min(sent+100, len(commands))
			b, err := json.Marshal(commands[answered:sent])
			if err == nil {
				err = conn.Write(ctx, websocket.MessageText, b)
			}
			if err != nil {
				return err
			}
		}
		var raw []byte
		if _, raw, err = conn.Read(ctx); err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			r.Errorf("%s: %v in %.200q", r.seen.Name, err, raw)
			return err
		}
		if m.Type == "error" && len(r.servers) > 1 && (m.Code == "unavailable" || m.Code == "draining") {
			return fmt.Errorf("%v", m.Code) // another node may reach the one that has the channel
		}
		before := left
		left -= r.take(&m)
		if left == 0 && before > 0 {
			follows()
		}
	}
	return err
}

// take handles a message. It answers 1 for the answer to a subscribe.
func (r *reader) take(m *message) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m.Type {
	case "subscribed", "resync":
		i := slices.Index(r.channels, m.Channel)
		if i < 0 {
			return 0
		}
		r.told[i]++
		r.seen.Told(uint32(i), ledger.Position(m.Position), m.Recovered)
		if m.Recovered {
			r.recovered++
			for j := range m.Changes {
				r.change(i, &m.Changes[j])
			}
			if r.at[i].Epoch != m.Position.Epoch {
				r.renamed++ // after a kill the log goes on in another epoch
				r.at[i].Epoch = m.Position.Epoch
			}
			if r.at[i] != m.Position {
				r.Errorf("%s: %s recovered up to %v, told %v", r.seen.Name, m.Channel, r.at[i], m.Position)
			}
		} else {
			r.snapshots++
			r.at[i] = m.Position
		}
		if m.Type == "subscribed" {
			return 1
		}
	case "channel_update":
		r.change(slices.Index(r.channels, m.Channel), m)
	case "batch":
		for j := range m.Messages {
			one := &m.Messages[j]
			if m.Channel != "" {
				one.Channel = m.Channel
			}
			r.change(slices.Index(r.channels, one.Channel), one)
		}
	case "error":
		r.Errorf("%s: told %v", r.seen.Name, m)
	}
	return 0
}

// change notes a change. The caller holds mu.
func (r *reader) change(i int, m *message) {
	if i < 0 || len(m.Data) == 0 {
		return
	}
	r.seen.Delivered(uint32(i), m.Seq, m.Data)
	r.at[i].Seq = m.Seq
}

// stands is where the reader stands in its i-th channel.
func (r *reader) stands(i int) position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[i]
}

// follows says that the reader was told n times or more where each channel stands.
func (r *reader) follows(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.told, func(told int) bool { return told < n })
}

// quantile is the q-th part of sorted times.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

func names(namespace string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s:%d", namespace, i))
	}
	return out
}
