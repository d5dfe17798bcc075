package loadtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// actionCable is Rails' Action Cable, actioncable-v1-json.
var actionCable = wire{
	path: "/cable", proto: "actioncable-v1-json", welcome: `{"type":"welcome"}`, ping: `{"type":"ping","message":1700000000}`,
	handle: func(s *wireServer, c *wireClient, msg string) error {
		var m struct{ Command, Identifier, Data string }
		if err := json.Unmarshal([]byte(msg), &m); err != nil {
			return broken("message %q", msg)
		}
		var id struct{ Channel, Room string }
		if err := json.Unmarshal([]byte(m.Identifier), &id); err != nil || id.Channel != "BenchChannel" || id.Room == "" {
			return broken("identifier %q", m.Identifier)
		}
		quoted, _ := json.Marshal(m.Identifier)
		switch m.Command {
		case "subscribe":
			c.topics = append(c.topics, m.Identifier)
			c.say(fmt.Sprintf(`{"identifier":%s,"type":"confirm_subscription"}`, quoted))
		case "message":
			var data struct {
				Action  string
				Message json.RawMessage
			}
			if err := json.Unmarshal([]byte(m.Data), &data); err != nil || data.Action != "speak" || !slices.Contains(c.topics, m.Identifier) {
				return broken("data %q", m.Data)
			}
			s.broadcast(m.Identifier, data.Message)
		default:
			return broken("command %q", m.Command)
		}
		return nil
	},
	delivery: func(topic string, payload json.RawMessage) string {
		quoted, _ := json.Marshal(topic)
		return fmt.Sprintf(`{"identifier":%s,"message":%s}`, quoted, payload)
	},
}

// supabase is Supabase Realtime: Phoenix with serializer 1.0.0, and broadcast over HTTP.
var supabase = wire{
	path: "/realtime/v1/websocket?vsn=1.0.0&apikey=TOKEN",
	handle: func(_ *wireServer, c *wireClient, msg string) error {
		var m struct {
			Topic, Event, Ref string
			Payload           struct {
				Config struct{ Broadcast struct{ Self *bool } }
			}
		}
		if err := json.Unmarshal([]byte(msg), &m); err != nil || m.Ref == "" {
			return broken("message %q", msg)
		}
		switch {
		case m.Topic == "phoenix" && m.Event == "heartbeat":
		case m.Event == "phx_join" && strings.HasPrefix(m.Topic, "realtime:") && m.Payload.Config.Broadcast.Self != nil:
			c.topics = append(c.topics, m.Topic)
		default:
			return broken("message %q", msg)
		}
		c.say(fmt.Sprintf(`{"event":"phx_reply","payload":{"response":{"postgres_changes":[]},"status":"ok"},"ref":%q,"topic":%q}`, m.Ref, m.Topic))
		if m.Event == "phx_join" {
			c.say(fmt.Sprintf(`{"event":"presence_state","payload":{},"ref":null,"topic":%q}`, m.Topic))
		}
		return nil
	},
	publish: func(s *wireServer, r *http.Request, body []byte) (int, string) {
		var m struct {
			Messages []struct {
				Topic, Event string
				Payload      json.RawMessage
			}
		}
		if r.URL.Path != "/realtime/v1/api/broadcast" || r.Header.Get("apikey") != "KEY" || r.Header.Get("Content-Type") != "application/json" {
			return http.StatusUnauthorized, `{"message":"Unauthorized"}`
		}
		if err := json.Unmarshal(body, &m); err != nil || len(m.Messages) == 0 {
			return http.StatusUnprocessableEntity, `{"errors":{"messages":["is invalid"]}}`
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, one := range m.Messages {
			s.broadcast("realtime:"+one.Topic, one.Payload)
		}
		return http.StatusAccepted, ""
	},
	delivery: func(topic string, payload json.RawMessage) string {
		return fmt.Sprintf(`{"event":"broadcast","payload":{"event":"bench","payload":%s,"type":"broadcast"},"ref":null,"topic":%q}`, sorted(payload), topic)
	},
}

// graphql is graphql-transport-ws, with mutations over HTTP.
var graphql = wire{
	path: "/graphql", proto: "graphql-transport-ws", ping: `{"type":"ping"}`, pong: `{"type":"pong"}`,
	handle: func(_ *wireServer, c *wireClient, msg string) error {
		var m struct {
			ID, Type string
			Payload  struct {
				Query     string
				Variables struct{ Channel string }
			}
		}
		if err := json.Unmarshal([]byte(msg), &m); err != nil {
			return broken("message %q", msg)
		}
		switch {
		case m.Type == "connection_init" && !c.in:
			c.in = true
			c.say(`{"type":"connection_ack"}`)
		case m.Type == "subscribe" && c.in && m.ID == m.Payload.Variables.Channel && strings.HasPrefix(m.Payload.Query, "subscription ($channel"):
			c.topics = append(c.topics, m.ID)
		default:
			return broken("message %q", msg)
		}
		return nil
	},
	publish: func(s *wireServer, _ *http.Request, body []byte) (int, string) {
		var m struct {
			Query     string
			Variables struct{ Channel, Data string }
		}
		if err := json.Unmarshal(body, &m); err != nil || !strings.HasPrefix(m.Query, "mutation ($channel") {
			return http.StatusOK, `{"errors":[{"message":"no such mutation"}]}`
		}
		data, _ := json.Marshal(m.Variables.Data)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broadcast(m.Variables.Channel, data)
		return http.StatusOK, `{"data":{"publish":true}}`
	},
	delivery: func(topic string, payload json.RawMessage) string {
		return fmt.Sprintf(`{"id":%q,"type":"next","payload":{"data":{"message":%s}}}`, topic, payload)
	},
}
