package notify

import (
	"encoding/json"
	"net/http"
	"sort"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"weir/internal/wire"
	"weir/relay/problem"
)

// The priorities of notifications.
const (
	low    = "low"
	normal = "normal"
	high   = "high"
)

// The limits of a notification, in code points.
const (
	maxTitle = 256
	maxBody  = 4096
	maxTag   = 64
)

// request is the request to send a notification.
type request struct {
	UserID   string          `json:"userId"`
	UserIDs  []string        `json:"userIds,omitempty"` // of a backend's request, in the place of userId
	ID       string          `json:"id,omitempty"`      // chosen by the sender: the same id is not sent twice
	Title    string          `json:"title"`
	Body     string          `json:"body"`
	Data     json.RawMessage `json:"data,omitempty"`
	Priority string          `json:"priority,omitempty"`
	Tag      string          `json:"tag,omitempty"` // its subject: on a device that is off, a later notification with the same tag replaces it
}

// check returns what is wrong with a request, and fills in the defaults.
func (r *request) check() error {
	switch {
	case r.UserID == "":
		return bad("userId is missing")
	case !wire.ValidChannel(wire.UserChannel(r.UserID)):
		return bad("userId is too long")
	case r.ID != "" && (!wire.ValidName(r.ID) || len(r.ID) > 64):
		return bad("id must be 1 to 64 of A-Z a-z 0-9 _ - . : / @ ~ =")
	case r.Title == "":
		return bad("title is missing")
	case utf8.RuneCountInString(r.Title) > maxTitle:
		return bad("title must be at most 256 characters")
	case utf8.RuneCountInString(r.Body) > maxBody:
		return bad("body must be at most 4096 characters")
	case utf8.RuneCountInString(r.Tag) > maxTag:
		return bad("tag must be at most 64 characters")
	}
	switch r.Priority {
	case "":
		r.Priority = normal
	case low, normal, high:
	default:
		return bad("priority must be low, normal or high")
	}
	if r.ID == "" {
		r.ID = "ntf_" + ulid.Make().String()
	}
	return nil
}

// content is what a notification says.
type content struct {
	ID        string          `json:"id"`
	Title     string          `json:"title"`
	Body      string          `json:"body"`
	Data      json.RawMessage `json:"data,omitempty"`
	Priority  string          `json:"priority"`
	Tag       string          `json:"tag,omitempty"`
	Timestamp int64           `json:"timestamp"` // milliseconds
}

// notification is a notification as it is stored. It is not changed once it was made.
type notification struct {
	content
	Read   bool  `json:"read"`
	ReadAt int64 `json:"readAt,omitempty"`
}

// notification returns the notification of a request that was checked.
func (r *request) notification(now time.Time) *notification {
	n := &notification{content: content{r.ID, r.Title, r.Body, r.Data, r.Priority, r.Tag, now.UnixMilli()}}
	if string(n.Data) == "null" {
		n.Data = nil
	}
	return n
}

// payload is what a device receives of a notification.
type payload struct {
	content
	Truncated bool `json:"truncated,omitempty"` // the user's channel has all of it
}

func (n *notification) payload() *payload { return &payload{content: n.content} }

// fit returns the largest payload of a notification that encode makes no longer than limit, in bytes: data is left out
// first, then the end of the body, then that of the title.
func (n *notification) fit(limit int, encode func(p *payload) []byte) []byte {
	p := n.payload()
	b := encode(p)
	if len(b) <= limit {
		return b
	}
	p.Data, p.Truncated = nil, true
	for _, text := range []*string{&p.Body, &p.Title} {
		if b = encode(p); len(b) <= limit {
			return b
		}
		whole := *text
		over := sort.Search(len(whole), func(n int) bool { // the shortest beginning that is too long
			*text = cut(whole, n)
			return len(encode(p)) > limit
		})
		*text = cut(whole, over-1)
	}
	return encode(p)
}

// cut returns the beginning of a text, in whole code points and at most n bytes, with an ellipsis at its end.
func cut(s string, n int) string {
	const ellipsis = "…"
	if n <= len(ellipsis) {
		return ""
	}
	n -= len(ellipsis)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// moment formats a time, in milliseconds, as the envelope of webhooks has it.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

var errTooLarge = problem.New(http.StatusRequestEntityTooLarge, "too_large", "the notification is too large", false)
