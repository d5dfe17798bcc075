package presence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"
	"github.com/bytedance/sonic"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/presence"
	"weir/relay/problem"
)

// The topics.
const (
	topicJoin      = "presence.join"
	topicLeave     = "presence.leave"
	topicHeartbeat = "presence.heartbeat"
)

// The limits of a payload.
const (
	maxStatus   = 32      // Unicode code points
	maxMetadata = 4 << 10 // bytes
	maxUser     = 128     // bytes
)

// System serves the topics. New creates it.
type System struct {
	// Set once by Start.
	host       relay.Host
	places     places
	heartbeats *metrics.Counter
}

// New creates the system.
func New() *System { return new(System) }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.host = host
	s.heartbeats = host.Metrics().NewCounter("weir_presence_heartbeats_total")
	s.places.limit = host.Config().Limit.Subscriptions
	s.places.connections = make(map[string]map[string]presence.Attendance)
	host.OnClient(topicJoin, s.join)
	host.OnClient(topicLeave, s.leave)
	host.OnClient(topicHeartbeat, s.heartbeat)
	host.OnClose(s.gone)
	host.OnRefresh(s.refreshed)
	return nil
}

func (s *System) Close() {}

// payload is the data of the topics.
type payload struct {
	Channel  string          `json:"channel"`
	UserID   string          `json:"userId"` // this and the next two are for backends, which name a user
	Name     string          `json:"name"`
	Avatar   string          `json:"avatar"`
	Status   string          `json:"status"`
	Metadata json.RawMessage `json:"metadata"`
}

var codec = sonic.Config{CaseSensitive: true, CopyString: true, ValidateString: true}.Froze()

// bad returns an error about a field.
func bad(message string) error { return problem.New(400, "bad_request", message, false) }

// parse returns the payload of an event, and the user that it is about.
func parse(e *hub.Event) (p payload, id *auth.Identity, err error) {
	if err := codec.Unmarshal(e.Data, &p); err != nil {
		return p, nil, bad("expected an object with channel, and optionally status and metadata")
	}
	if n := utf8.RuneCountInString(p.Status); n > maxStatus || hasControl(p.Status) {
		return p, nil, bad(fmt.Sprintf("status must be at most %d characters long", maxStatus))
	}
	if p.Metadata != nil {
		var b bytes.Buffer
		if err := json.Compact(&b, p.Metadata); err != nil || b.Bytes()[0] != '{' || b.Len() > maxMetadata {
			return p, nil, bad(fmt.Sprintf("metadata must be an object of at most %d bytes", maxMetadata))
		}
		p.Metadata = b.Bytes()
	}
	switch {
	case e.Connection == "" && (p.UserID == "" || len(p.UserID) > maxUser || hasControl(p.UserID)):
		return p, nil, bad(fmt.Sprintf("userId must be 1 to %d bytes", maxUser))
	case e.Connection == "":
		return p, &auth.Identity{User: p.UserID, Name: p.Name, Avatar: p.Avatar}, nil
	case e.Identity.Anonymous:
		return p, nil, problem.New(403, "forbidden", "presence requires a token", false)
	}
	return p, e.Identity, nil
}

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// join is the topic presence.join.
func (s *System) join(e *hub.Event) error {
	p, id, err := parse(e)
	if err != nil {
		return err
	}
	return s.enter(e, id, p.Channel, presence.Attendance{Status: p.Status, Metadata: p.Metadata})
}

// enter adds a user to a channel, if they may subscribe to it.
func (s *System) enter(e *hub.Event, id *auth.Identity, channel string, a presence.Attendance) error {
	if e.Connection == "" {
		if !wire.ValidChannel(channel) {
			return bad("channel is missing, or not a valid name")
		}
		return s.host.Enter(channel, "", id, a)
	}
	if err := s.host.Allows(id, auth.Subscribe, channel); err != nil {
		return err
	}
	if !s.host.Connected(e.Connection) { // a command that was posted has no connection: the user leaves when the time is over
		return s.host.Enter(channel, e.Connection, id, a)
	}
	a, err := s.places.put(e.Connection, channel, a)
	if err != nil {
		return err
	}
	if err = s.host.Enter(channel, e.Connection, id, a); err != nil {
		s.places.remove(e.Connection, channel)
	}
	return err
}

// leave is the topic presence.leave.
func (s *System) leave(e *hub.Event) error {
	p, id, err := parse(e)
	if err != nil {
		return err
	}
	if !wire.ValidChannel(p.Channel) {
		return bad("channel is missing, or not a valid name")
	}
	s.places.remove(e.Connection, p.Channel)
	s.host.Leave(p.Channel, e.Connection, id.User)
	return nil
}

// heartbeat is the topic presence.heartbeat: of one channel, or of all that the connection has joined. The event goes no
// further.
func (s *System) heartbeat(e *hub.Event) error {
	e.Silent = true
	s.heartbeats.Inc()
	var p payload
	id := e.Identity
	if string(e.Data) != "null" {
		var err error
		if p, id, err = parse(e); err != nil {
			return err
		}
	}
	if p.Channel != "" {
		return s.renew(e, id, p.Channel, presence.Attendance{Status: p.Status, Metadata: p.Metadata})
	}
	if e.Connection == "" {
		return bad("channel is missing")
	}
	var failed error
	for channel := range s.places.of(e.Connection) {
		failed = errors.Join(failed, s.renew(e, id, channel, presence.Attendance{}))
	}
	return failed
}

// renew keeps a user in a channel; the heartbeat may have a new status or metadata. A user whose time was over is back, unless
// they may not be there any more.
func (s *System) renew(e *hub.Event, id *auth.Identity, channel string, a presence.Attendance) error {
	if e.Connection != "" {
		if err := s.host.Allows(id, auth.Subscribe, channel); err != nil {
			s.places.remove(e.Connection, channel)
			if wire.ValidChannel(channel) {
				s.host.Leave(channel, e.Connection, id.User)
			}
			return err
		}
	}
	if wire.ValidChannel(channel) && a.Status == "" && a.Metadata == nil && s.host.Heartbeat(channel, e.Connection, id.User) {
		return nil
	}
	return s.enter(e, id, channel, a)
}

// refreshed updates the user of a connection that has a new token.
func (s *System) refreshed(connection string, id *auth.Identity) {
	for channel := range s.places.of(connection) {
		s.host.Rename(channel, id)
	}
}

// gone removes a connection that has ended.
func (s *System) gone(user, connection string, _ bool) {
	for channel := range s.places.removeAll(connection) {
		s.host.Disconnected(channel, connection, user)
	}
}

// Name is what the configuration calls the system.
const Name = "presence"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_presence_heartbeats_total", Type: relay.Counter, Help: "Events of the topic presence.heartbeat."},
		},
	}
}
