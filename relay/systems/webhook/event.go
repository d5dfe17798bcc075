package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/oklog/ulid/v2"

	"weir/relay/hub"
	"weir/relay/systems/internal/encode"
)

// event is one event on its way to one endpoint.
type event struct {
	id    string
	topic string
	key   string // of the order; "" for none
	trace string // traceparent; "" for none
	body  []byte // as it is sent: the same bytes at each attempt
	since time.Time

	// Owned by the attempt that the event is in, and by the caller that adds it to the queue or removes it.
	attempts int
	problem  string // of the last attempt; "" for none
	reason   string // of a dead letter that was read
}

// newEvent returns what is sent to an endpoint for e.
func newEvent(e *hub.Event, now time.Time) *event {
	id := "msg_" + ulid.Make().String()
	b := encode.Members(make([]byte, 0, len(e.Data)+len(e.Topic)+len(e.Key)+len(e.User)+160), "id", id, "type", e.Topic,
		"timestamp", now.UTC().Format("2006-01-02T15:04:05.000Z"), "key", encode.Maybe(e.Key), "userId", encode.Maybe(e.User), "data", e.Data)
	return &event{id: id, topic: e.Topic, key: e.Key, trace: e.Trace, body: append(b, '}'), since: now}
}

// record is an event as it is stored in a channel.
type record struct {
	Topic    string          `json:"topic"`
	Key      string          `json:"key,omitempty"`
	Trace    string          `json:"trace,omitempty"`
	Since    int64           `json:"since"` // milliseconds
	Attempts int             `json:"attempts,omitempty"`
	Reason   string          `json:"reason,omitempty"` // of a dead letter: full, expired, refused or gone
	Problem  string          `json:"problem,omitempty"`
	Body     json.RawMessage `json:"body"`
}

// record returns the event as it is stored. Body is JSON on one line.
func (e *event) record(reason string) []byte {
	b := make([]byte, 0, len(e.topic)+len(e.key)+len(e.trace)+len(e.problem)+len(e.body)+160)
	b = encode.Members(b, "topic", e.topic, "key", encode.Maybe(e.key), "trace", encode.Maybe(e.trace), "since", e.since.UnixMilli())
	if reason != "" {
		b = encode.Members(b, "attempts", e.attempts, "reason", reason, "problem", e.problem)
	}
	return append(encode.Members(b, "body", e.body), '}')
}

// event returns the event that is stored in a record.
func (r *record) event(id string) *event {
	return &event{id: id, topic: r.Topic, key: r.Key, trace: r.Trace, body: r.Body, since: time.UnixMilli(r.Since)}
}

// maxBody bounds the bytes of a request with several events. One event may be larger.
const maxBody = 256 << 10

// pack makes one body of several events, and an id for exactly these: a receiver that knows the id has seen all of them.
func pack(list []*event) (id string, body []byte) {
	sum := sha256.New()
	body = append(body, '[')
	for i, e := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e.body...)
		sum.Write([]byte(e.id))
	}
	return "msg_" + hex.EncodeToString(sum.Sum(nil)[:16]), append(body, ']')
}
