package loadtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/loadtest"
	"weir/loadtest/protocol"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// described is a load test of a server by a description.
func described(s *wireServer, p *protocol.Protocol) loadtest.Config {
	return loadtest.Config{
		Scenario: scenario.Scenario{
			Name: "described", Channels: 3, Subscribers: 12, Publishers: 2, Rate: 60, Duration: 600 * time.Millisecond, Warmup: -1, Checked: 6, Drain: 5 * time.Second,
		},
		Target: target.Options{Name: "described", URL: s.http.URL, Protocol: p, Key: "KEY"},
		Token:  func(string) (string, error) { return "TOKEN", nil },
	}
}

// Each preset speaks to a server of its protocol: every delivery is told, in its channel, intact.
func TestPresetsSpeakTheirProtocols(t *testing.T) {
	wires := map[string]wire{"socket.io": socketIO, "phoenix": phoenix, "action-cable": actionCable, "supabase": supabase, "graphql": graphql}
	for _, name := range protocol.Names() {
		w, ok := wires[name]
		if !ok {
			t.Fatalf("no server speaks %s", name)
		}
		t.Run(name, func(t *testing.T) {
			s := startWire(t, w)
			p, err := protocol.Preset(name)
			if err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			if err := loadtest.Check(t.Context(), described(s, p), &said); err != nil || !strings.Contains(said.String(), "arrived intact") {
				t.Fatal(err, said.String())
			}
			rec, err := loadtest.Run(t.Context(), described(s, p))
			if err != nil {
				t.Fatal(err)
			}
			res := report.New(rec)
			if res.Expected+4*res.Unsent != 36*4 || res.Received != res.Expected || res.Lost+res.Duplicated+res.Corrupted != 0 {
				t.Errorf("expected %d, received %d, lost %d, duplicated %d, corrupted %d: %v", res.Expected, res.Received, res.Lost, res.Duplicated, res.Corrupted, res.Troubles)
			}
			if c := res.Connections; c.Alike+c.Similar != 6 || c.BytesMismatch != 0 { // pings are not counted
				t.Errorf("%+v", c)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if w.pong != "" && !strings.Contains(strings.Join(s.spoken, "\n"), w.pong) {
				t.Error("no ping was answered")
			}
		})
	}
}

// chat is a server whose messages are nothing like what was published: an id and a time are all that is left.
var chat = wire{
	path: "/live", welcome: `{"hello":true,"nonce":"n-7"}`, ping: `{"op":"ping","at":17}`, pong: `{"op":"pong","at":17}`,
	handle: func(s *wireServer, c *wireClient, msg string) error {
		var m struct {
			Op, Nonce, Name, Room string
			Ref                   uint64
			Text                  struct {
				ID string
				At int64
			}
		}
		if err := json.Unmarshal([]byte(msg), &m); err != nil {
			return err
		}
		switch {
		case m.Op == "login" && m.Nonce == "n-7" && (m.Name == "ann" || m.Name == `b"ob`):
			c.say(`{"op":"ok"}`)
			c.in = true
		case m.Op == "join" && c.in:
			c.topics = append(c.topics, m.Room)
			c.say(`{"op":"joined","room":"` + m.Room + `"}`)
		case m.Op == "alive" && m.Ref > 0:
		case m.Op == "say" && c.in:
			s.broadcast(m.Room, json.RawMessage(fmt.Sprintf(`{"id":%q,"at":%d}`, m.Text.ID, m.Text.At)))
		default:
			return broken("message %s", msg)
		}
		return nil
	},
	delivery: func(topic string, payload json.RawMessage) string {
		return fmt.Sprintf(`{"op":"said","room":%q,"by":"x","text":%s}`, topic, payload)
	},
}

const chatFile = `
name: chat
target:
  path: /live
  rows: testdata/users.csv
  open:
    - expect: {match: {hello: true}}
      keep: {nonce: nonce}
    - send: '{"op":"login","name":"{{row.name}}","nonce":"{{nonce}}"}'
      expect: {match: {op: ok}}
    - send: '{"op":"join","room":"{{channel}}"}'
      expect: {match: {op: joined}}
  answer:
    - when: {match: {op: ping}}
      send: '{"op":"pong","at":{{received.at}}}'
  heartbeat: {every: 100ms, send: '{"op":"alive","ref":{{ref}}}'}
  message:
    match: {op: said}
    channel: room
    id: text.id
    stamp: text.at
  publish:
    send: '{"op":"say","room":"{{channel}}","text":{"id":"{{id}}","at":{{stamp}}}}'
    open:
      - expect: {match: {hello: true}}
        keep: {nonce: nonce}
      - send: '{"op":"login","name":"{{row.name}}","nonce":"{{nonce}}"}'
        expect: {match: {op: ok}}
`

// A server with a login, rows of users, pings that want a value back, heartbeats, and messages without the payload.
func TestAnyServerCanBeDescribed(t *testing.T) {
	s := startWire(t, chat)
	file, err := scenario.Parse("chat.yaml", []byte(chatFile))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := loadtest.Run(context.Background(), described(s, file.Target))
	if err != nil {
		t.Fatal(err)
	}
	res := report.New(rec)
	if res.Expected+4*res.Unsent != 36*4 || res.Received != res.Expected || res.Corrupted != 0 || res.Connections.Closed != 0 {
		t.Errorf("expected %d, received %d, corrupted %d: %v", res.Expected, res.Received, res.Corrupted, res.Troubles)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := strings.Join(s.spoken, "\n"); !strings.Contains(all, `"alive"`) || !strings.Contains(all, `{"op":"pong","at":17}`) {
		t.Error("no heartbeat, or no answer to a ping")
	}
}

// What does not arrive as described is found, and the right path named.
func TestCheckNamesThePathToThePayload(t *testing.T) {
	s := startWire(t, phoenix)
	p, err := protocol.Preset("phoenix")
	if err != nil {
		t.Fatal(err)
	}
	p.Message.Data = "[4].body"
	cfg := described(s, p)
	cfg.Setup = 300 * time.Millisecond
	var said bytes.Buffer
	err = loadtest.Check(t.Context(), cfg, &said)
	if !errors.Is(err, loadtest.ErrCheck) || !strings.Contains(err.Error(), `message.data would be "[4]"`) {
		t.Error(err, said.String())
	}
	p.Open[0].Send = `["1","1","{{topic}}","leave",{}]`
	if err = loadtest.Check(t.Context(), cfg, &said); !errors.Is(err, loadtest.ErrCheck) || !strings.Contains(err.Error(), `refused by the target: ["1"`) {
		t.Error(err)
	}
}
