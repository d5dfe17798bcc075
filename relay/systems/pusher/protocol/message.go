package protocol

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"weir/internal/wire"
)

// Where a channel keeps what it keeps.
const (
	MemberGroup = "members"
	CacheGroup  = "cache"
	CacheKey    = "event"
)

// RemovedData is the data of the event that tells that a member, whose id is JSON, has left.
func RemovedData(id []byte) []byte { return append(append([]byte(`{"user_id":`), id...), '}') }

// AppendInternal appends a message whose data is a JSON string that holds JSON.
func AppendInternal(dst []byte, event, channel string, data []byte) []byte {
	dst = append(append(append(dst, `{"event":"`...), event...), `","channel":`...)
	dst = append(wire.AppendString(dst, channel), `,"data":`...)
	return append(AppendQuoted(dst, data), '}')
}

// Message is a message of no channel, whose data is a JSON string that holds JSON.
func Message(event string, data []byte) []byte {
	return append(AppendQuoted([]byte(`{"event":"`+event+`","data":`), data), '}')
}

// AppendQuoted appends JSON as a JSON string.
func AppendQuoted(dst, data []byte) []byte { return wire.AppendString(dst, string(data)) }

// Field is a member of an object that is looked for.
type Field struct {
	Name  string
	Value *[]byte // is left alone if it is not there
}

// Read finds members of an object and reports whether there are others.
func Read(object []byte, fields ...Field) (others bool, err error) {
	err = wire.Members(object, func(key string, value []byte) error {
		for _, f := range fields {
			if f.Name == key {
				*f.Value = value
				return nil
			}
		}
		others = true
		return nil
	})
	return others, err
}

// ClientPrefix begins the names of clients' events.
const ClientPrefix = "client-"

// AppendEvent appends the event that data stands for: {"event","data"} is that event, anything else is the event "message".
func AppendEvent(dst []byte, channel string, data []byte) []byte {
	var event, inner, user, at []byte // at of an event that is kept: when it was sent
	others, err := Read(data, Field{Name: "event", Value: &event}, Field{Name: "data", Value: &inner}, Field{Name: "user_id", Value: &user}, Field{Name: "at", Value: &at})
	client := bytes.HasPrefix(event, []byte(`"`+ClientPrefix))
	if err != nil || others || inner == nil || len(event) < 3 || event[0] != '"' || user != nil && !client {
		event, inner = []byte(`"message"`), data
		if len(data) == 0 {
			inner = []byte("null")
		}
		dst = append(append(dst, `{"event":`...), event...)
		dst = wire.AppendString(append(dst, `,"channel":`...), channel)
		return append(AppendQuoted(append(dst, `,"data":`...), inner), '}')
	}
	dst = append(append(dst, `{"event":`...), event...)
	dst = append(wire.AppendString(append(dst, `,"channel":`...), channel), `,"data":`...)
	if inner[0] == '"' || client {
		dst = append(dst, inner...)
	} else {
		dst = AppendQuoted(dst, inner)
	}
	if user != nil {
		dst = append(append(dst, `,"user_id":`...), user...)
	}
	return append(dst, '}')
}

// Member is the item of a member.
type Member struct {
	ID, Info []byte // JSON
}

// ParseMember reads the data of a member's item.
func ParseMember(data []byte) (m Member, ok bool) {
	m.Info = []byte("{}")
	_, err := Read(data, Field{Name: "user_id", Value: &m.ID}, Field{Name: "user_info", Value: &m.Info})
	_, _, isID := IDText(m.ID)
	return m, err == nil && isID
}

// AppendMember appends the data of a member's item.
func AppendMember(dst []byte, m Member) []byte {
	dst = append(append(dst, `{"user_id":`...), m.ID...)
	return append(append(append(dst, `,"user_info":`...), m.Info...), '}')
}

// State is what a channel keeps.
type State struct {
	Members []Member
	Cached  []byte // the last event; nil: none
}

// ParseState reads a snapshot.
func ParseState(state []byte) (s State) {
	_ = wire.Members(state, func(group string, items []byte) error {
		return wire.Members(items, func(key string, value []byte) error {
			switch {
			case group == MemberGroup:
				if m, ok := ParseMember(value); ok {
					s.Members = append(s.Members, m)
				}
			case group == CacheGroup && key == CacheKey:
				s.Cached = value
			}
			return nil
		})
	})
	return s
}

// Succeeded is the answer to a subscription.
func Succeeded(name string, s State) []byte {
	inner := []byte("{}")
	if KindOf(name).Presence {
		ids, hash := []byte(`{"presence":{"ids":[`), []byte(`],"hash":{`)
		for i, m := range s.Members {
			if i > 0 {
				ids, hash = append(ids, ','), append(hash, ',')
			}
			ids = append(ids, m.ID...)
			text, _, _ := IDText(m.ID)
			hash = append(append(wire.AppendString(hash, text), ':'), m.Info...)
		}
		inner = append(append(append(ids, hash...), `},"count":`...), strconv.Itoa(len(s.Members))...)
		inner = append(inner, `}}`...)
	}
	return AppendInternal(nil, "pusher_internal:subscription_succeeded", name, inner)
}

// SignIn is what a connection has signed in with.
type SignIn struct {
	ID, Info  []byte // JSON
	Text      string
	Watchlist []string
}

// ParseSignIn reads user_data; false if it is none.
func ParseSignIn(data string) (s SignIn, cut, ok bool) {
	info, list := []byte("{}"), []byte("[]")
	_, err := Read([]byte(data), Field{Name: "id", Value: &s.ID}, Field{Name: "user_info", Value: &info}, Field{Name: "watchlist", Value: &list})
	s.Info = bytes.Clone(wire.OneLine(info))
	bad := wire.Elements(list, func(v []byte) error {
		text, _, isID := IDText(v)
		if isID && len(s.Watchlist) == maxWatchlist {
			cut = true
		} else if isID && !slices.Contains(s.Watchlist, text) {
			s.Watchlist = append(s.Watchlist, text)
		}
		return nil
	})
	s.Text, _, ok = IDText(s.ID)
	return s, cut, err == nil && bad == nil && ok
}

// WatchlistEvents returns the message about who is online and who is not.
func WatchlistEvents(online, offline []string) []byte {
	type event struct {
		Name  string   `json:"name"`
		Users []string `json:"user_ids"`
	}
	var events []event
	if len(online) > 0 {
		events = append(events, event{"online", online})
	}
	if len(offline) > 0 {
		events = append(events, event{"offline", offline})
	}
	data, _ := json.Marshal(map[string][]event{"events": events}) // of strings: never fails
	return Message("pusher_internal:watchlist_events", data)
}

// maxWatchlist bounds the users that a connection may watch.
const maxWatchlist = 100

// NewSocketID makes a connection's id: two numbers that nobody guesses.
func NewSocketID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	const most = 1<<53 - 1 // what numbers of JavaScript hold
	first, second := binary.BigEndian.Uint64(b[:8])&most, binary.BigEndian.Uint64(b[8:])&most
	return string(strconv.AppendUint(append(strconv.AppendUint(nil, first, 10), '.'), second, 10))
}

// SubscriptionError returns the message about a subscription that has failed.
func SubscriptionError(channel, kind, text string, status int) []byte {
	b := wire.AppendString([]byte(`{"event":"pusher:subscription_error","channel":`), channel)
	b = wire.AppendString(append(b, `,"data":{"type":"`+kind+`","error":`...), text)
	return append(b, `,"status":`+strconv.Itoa(status)+"}}"...)
}

// TextOf is the text of a JSON string; "" for anything else, such as null.
func TextOf(value []byte) string {
	text, err := wire.Text(value)
	if err != nil {
		return ""
	}
	return strings.Clone(text)
}

// ValidSocketID reports whether a text reads like the id of a connection.
func ValidSocketID(id string) bool {
	first, second, ok := strings.Cut(id, ".")
	return ok && first != "" && second != "" && strings.Trim(first, "0123456789") == "" && strings.Trim(second, "0123456789") == ""
}
