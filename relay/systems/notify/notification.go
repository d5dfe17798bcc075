package notify

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sort"
	"strconv"
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

// Bounds of a notification, in code points.
const (
	mostTitle = 256
	mostBody  = 4096
	mostTag   = 64
)

// request is a notification as it is asked for.
type request struct {
	UserID   string          `json:"userId"`
	UserIDs  []string        `json:"userIds,omitempty"` // of a backend's request, in the place of userId
	ID       string          `json:"id,omitempty"`      // of the sender's choice: the same id is not sent twice
	Title    string          `json:"title"`
	Body     string          `json:"body"`
	Data     json.RawMessage `json:"data,omitempty"`
	Priority string          `json:"priority,omitempty"`
	Tag      string          `json:"tag,omitempty"` // what it is about: on a device that is off, the later one of a tag replaces the earlier
}

// check says what is wrong with a request, and fills in what was left out.
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
	case utf8.RuneCountInString(r.Title) > mostTitle:
		return bad("title must be at most 256 characters")
	case utf8.RuneCountInString(r.Body) > mostBody:
		return bad("body must be at most 4096 characters")
	case utf8.RuneCountInString(r.Tag) > mostTag:
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

// notification is what a user is told. It is not changed after it was made; what is read is a copy.
type notification struct {
	ID        string          `json:"id"`
	Title     string          `json:"title"`
	Body      string          `json:"body"`
	Data      json.RawMessage `json:"data,omitempty"`
	Priority  string          `json:"priority"`
	Tag       string          `json:"tag,omitempty"`
	Timestamp int64           `json:"timestamp"` // milliseconds
	Read      bool            `json:"read"`
	ReadAt    int64           `json:"readAt,omitempty"`
}

// notification is what is sent for a request that was checked.
func (r *request) notification(now time.Time) *notification {
	n := &notification{ID: r.ID, Title: r.Title, Body: r.Body, Data: r.Data, Priority: r.Priority, Tag: r.Tag, Timestamp: now.UnixMilli()}
	if string(n.Data) == "null" {
		n.Data = nil
	}
	return n
}

// encode is the notification as JSON on one line, with nothing in it escaped that need not be.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // data was checked, and the rest is strings and numbers
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// push is what a device gets of a notification.
type push struct {
	ID        string          `json:"id"`
	Title     string          `json:"title"`
	Body      string          `json:"body"`
	Data      json.RawMessage `json:"data,omitempty"`
	Priority  string          `json:"priority"`
	Tag       string          `json:"tag,omitempty"`
	Timestamp int64           `json:"timestamp"`
	Truncated bool            `json:"truncated,omitempty"` // the whole of it is in the user's channel
}

// fit makes the largest push of a notification that encodes, by the given function, within most bytes: data is
// left out first, then the end of the body, then that of the title.
func (n *notification) fit(most int, encode func(p *push) []byte) []byte {
	p := &push{n.ID, n.Title, n.Body, n.Data, n.Priority, n.Tag, n.Timestamp, false}
	b := encode(p)
	if len(b) <= most {
		return b
	}
	p.Data, p.Truncated = nil, true
	for _, text := range []*string{&p.Body, &p.Title} {
		if b = encode(p); len(b) <= most {
			return b
		}
		whole := *text
		over := sort.Search(len(whole), func(n int) bool { // the shortest beginning that is too long
			*text = cut(whole, n)
			return len(encode(p)) > most
		})
		*text = cut(whole, over-1)
	}
	return encode(p)
}

// cut is the beginning of a text, in whole code points, and at most n bytes; an ellipsis says that there was more.
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

// moment is a time as the envelope of webhooks has it.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// seconds is a time to live as headers have it.
func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

var errTooLarge = problem.New(http.StatusRequestEntityTooLarge, "too_large", "the notification is too large", false)
