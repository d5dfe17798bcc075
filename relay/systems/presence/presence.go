package presence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"
	"github.com/bytedance/sonic"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
)

// The topics.
const (
	topicJoin      = "presence.join"
	topicLeave     = "presence.leave"
	topicHeartbeat = "presence.heartbeat"
)

// The bounds of what a client says of itself.
const (
	maxStatus   = 32      // Unicode code points
	maxMetadata = 4 << 10 // bytes
	maxUser     = 128     // bytes
)

// System serves the topics. Make it with New.
type System struct {
	// Set once by Start.
	core   *relay.Core
	places places
	heard  *metrics.Counter // signs of life
}

// New makes the system.
func New() *System { return new(System) }

// Name implements relay.System.
func (s *System) Name() string { return Name }

// Start implements relay.System.
func (s *System) Start(core *relay.Core) error {
	s.core = core
	s.heard = core.Metrics().NewCounter("weir_presence_heartbeats_total")
	s.places.most = core.Config().Limit.Subscriptions
	core.OnClient(topicJoin, s.join)
	core.OnClient(topicLeave, s.leave)
	core.OnClient(topicHeartbeat, s.heartbeat)
	core.OnClose(s.gone)
	core.OnRefresh(s.refreshed)
	return nil
}

// Close implements relay.System.
func (s *System) Close() {}

// word is the payload of the topics.
type word struct {
	Channel  string          `json:"channel"`
	UserID   string          `json:"userId"` // the rest is a backend's to say of a user
	Name     string          `json:"name"`
	Avatar   string          `json:"avatar"`
	Status   string          `json:"status"`
	Metadata json.RawMessage `json:"metadata"`
}

var codec = sonic.Config{CaseSensitive: true, CopyString: true, ValidateString: true}.Froze()

// wrong says what is wrong with a field.
func wrong(message string) error { return problem.New(400, "bad_request", message, false) }

// listen reads an event, and answers whom it is about.
func listen(e *relay.Event) (w word, id *auth.Identity, err error) {
	if err := codec.Unmarshal(e.Data, &w); err != nil {
		return w, nil, wrong("expected an object with channel, and perhaps status and metadata")
	}
	if n := utf8.RuneCountInString(w.Status); n > maxStatus || hasControl(w.Status) {
		return w, nil, wrong(fmt.Sprintf("status must be at most %d characters long", maxStatus))
	}
	if w.Metadata != nil {
		var b bytes.Buffer
		if err := json.Compact(&b, w.Metadata); err != nil || b.Bytes()[0] != '{' || b.Len() > maxMetadata {
			return w, nil, wrong(fmt.Sprintf("metadata must be an object of at most %d bytes", maxMetadata))
		}
		w.Metadata = b.Bytes()
	}
	switch {
	case e.Connection == "" && (w.UserID == "" || len(w.UserID) > maxUser || hasControl(w.UserID)):
		return w, nil, wrong(fmt.Sprintf("userId must be 1 to %d bytes", maxUser))
	case e.Connection == "":
		return w, &auth.Identity{User: w.UserID, Name: w.Name, Avatar: w.Avatar}, nil
	case e.Identity.Anonymous:
		return w, nil, problem.New(403, "forbidden", "users without a token are nowhere", false)
	}
	return w, e.Identity, nil
}

func hasControl(text string) bool {
	for _, r := range text {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

// join is the topic presence.join.
func (s *System) join(e *relay.Event) error {
	w, id, err := listen(e)
	if err != nil {
		return err
	}
	return s.enter(e, id, w.Channel, relay.Attendance{Status: w.Status, Metadata: w.Metadata})
}

// enter has a user in a channel, if they may follow it.
func (s *System) enter(e *relay.Event, id *auth.Identity, channel string, a relay.Attendance) error {
	if e.Connection == "" {
		if !wire.ValidChannel(channel) {
			return wrong("channel is missing, or no channel's name")
		}
		return s.core.Attend(channel, "", id, a)
	}
	if err := s.core.Allows(id, auth.Subscribe, channel); err != nil {
		return err
	}
	if !s.core.Connected(e.Connection) { // a command that was posted: there is no end to wait for, but that of its time
		return s.core.Attend(channel, e.Connection, id, a)
	}
	a, err := s.places.put(e.Connection, channel, a)
	if err != nil {
		return err
	}
	if err = s.core.Attend(channel, e.Connection, id, a); err != nil {
		s.places.remove(e.Connection, channel)
	}
	return err
}

// leave is the topic presence.leave.
func (s *System) leave(e *relay.Event) error {
	w, id, err := listen(e)
	if err != nil {
		return err
	}
	if !wire.ValidChannel(w.Channel) {
		return wrong("channel is missing, or no channel's name")
	}
	s.places.remove(e.Connection, w.Channel)
	s.core.Absent(w.Channel, e.Connection, id.User)
	return nil
}

// heartbeat is the topic presence.heartbeat: of one channel, or of all that the connection has joined. Nobody
// hears of it.
func (s *System) heartbeat(e *relay.Event) error {
	e.Silent = true
	s.heard.Inc()
	var w word
	id := e.Identity
	if string(e.Data) != "null" {
		var err error
		if w, id, err = listen(e); err != nil {
			return err
		}
	}
	if w.Channel != "" {
		return s.renew(e, id, w.Channel, relay.Attendance{Status: w.Status, Metadata: w.Metadata})
	}
	if e.Connection == "" {
		return wrong("channel is missing")
	}
	var failed error
	for channel := range s.places.of(e.Connection) {
		failed = errors.Join(failed, s.renew(e, id, channel, relay.Attendance{}))
	}
	return failed
}

// renew takes a sign of life, which may say something new. A user who was given up is back, and one who may no longer be there is not.
func (s *System) renew(e *relay.Event, id *auth.Identity, channel string, a relay.Attendance) error {
	if e.Connection != "" {
		if err := s.core.Allows(id, auth.Subscribe, channel); err != nil {
			s.places.remove(e.Connection, channel)
			if wire.ValidChannel(channel) {
				s.core.Absent(channel, e.Connection, id.User)
			}
			return err
		}
	}
	if wire.ValidChannel(channel) && a.Status == "" && a.Metadata == nil && s.core.Seen(channel, e.Connection, id.User) {
		return nil
	}
	return s.enter(e, id, channel, a)
}

// refreshed is called when a connection has a new token.
func (s *System) refreshed(connection string, id *auth.Identity) {
	for channel := range s.places.of(connection) {
		s.core.Renamed(channel, id)
	}
}

// gone is called when a connection has ended.
func (s *System) gone(user, connection string, _ bool) {
	for channel := range s.places.take(connection) {
		s.core.Departed(channel, connection, user)
	}
}
