package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"weir/internal/wire"
	"weir/relay/hub"
)

// event is one event on its way to one endpoint.
type event struct {
	id    string
	topic string
	key   string // of the order; "" for none
	body  []byte // as it is sent: the same bytes at each attempt
	since time.Time

	// Owned by the attempt that the event is in, and by the caller that adds it to the queue or removes it.
	attempts int
	problem  string // of the last attempt; "" for none
}

// newEvent returns what is sent to an endpoint for e.
func newEvent(e *hub.Event, now time.Time) *event {
	id := "msg_" + ulid.Make().String()
	b := make([]byte, 0, len(e.Data)+len(e.Topic)+len(e.Key)+len(e.User)+160)
	b = append(append(b, `{"id":"`...), id...)
	b = wire.AppendString(append(b, `","type":`...), e.Topic)
	b = now.UTC().AppendFormat(append(b, `,"timestamp":"`...), "2006-01-02T15:04:05.000Z")
	b = append(b, '"')
	if e.Key != "" {
		b = wire.AppendString(append(b, `,"key":`...), e.Key)
	}
	if e.User != "" {
		b = wire.AppendString(append(b, `,"userId":`...), e.User)
	}
	b = append(append(append(b, `,"data":`...), e.Data...), '}')
	return &event{id: id, topic: e.Topic, key: e.Key, body: b, since: now}
}

// record is an event as it is stored in a channel.
type record struct {
	Topic    string          `json:"topic"`
	Key      string          `json:"key,omitempty"`
	Since    int64           `json:"since"` // milliseconds
	Attempts int             `json:"attempts,omitempty"`
	Reason   string          `json:"reason,omitempty"` // of a dead letter: full, expired, refused or gone
	Problem  string          `json:"problem,omitempty"`
	Body     json.RawMessage `json:"body"`
}

// append appends the event as a record. Body is JSON on one line.
func (e *event) append(b []byte, reason string) []byte {
	b = wire.AppendString(append(b, `{"topic":`...), e.topic)
	if e.key != "" {
		b = wire.AppendString(append(b, `,"key":`...), e.key)
	}
	b = strconv.AppendInt(append(b, `,"since":`...), e.since.UnixMilli(), 10)
	if reason != "" {
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(e.attempts), 10)
		b = wire.AppendString(append(b, `,"reason":`...), reason)
		b = wire.AppendString(append(b, `,"problem":`...), e.problem)
	}
	return append(append(append(b, `,"body":`...), e.body...), '}')
}

// event returns the event that is stored in a record.
func (r *record) event(id string) *event {
	return &event{id: id, topic: r.Topic, key: r.Key, body: append([]byte(nil), r.Body...), since: time.UnixMilli(r.Since)}
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
