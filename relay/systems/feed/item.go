package feed

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/problem"
	"weir/relay/systems/internal/encode"
)

// item is what a backend posts: the event, the data and the id of what pages get.
type item struct {
	Type  string
	ID    string
	Data  []byte   // JSON on one line
	Users []string // of userIds; nil: it is for the user of the path
}

// Longest type and id, in bytes.
const (
	maxType = 128
	maxID   = 128
)

// ownTypes are events of the stream's and of the browser's own: no item passes for them.
var ownTypes = []string{"connected", "resync", "closed", "unsubscribed", "error", "open"}

// parse reads an item as a backend posts it; the id may be missing, or a number. It may write to body, and the
// item's data is part of it. Errors go to the backend.
func parse(body []byte) (item, error) {
	var it item
	seen := make(map[string]bool, 4)
	err := wire.Members(body, func(key string, v []byte) (err error) {
		switch key {
		case "type":
			if it.Type, err = wire.Text(v); err != nil {
				return bad("type must be a string")
			}
		case "id":
			if it.ID, err = idText(v); err != nil {
				return err
			}
		case "data":
			it.Data = wire.OneLine(v)
		case "userIds":
			it.Users = []string{}
			if wire.Elements(v, func(v []byte) error {
				user, err := wire.Text(v)
				it.Users = append(it.Users, strings.Clone(user))
				return err
			}) != nil {
				return bad("userIds must be a list of names")
			}
		default:
			return nil
		}
		if seen[key] {
			return bad(key + " is given twice")
		}
		seen[key] = true
		return nil
	})
	switch {
	case err != nil:
		return it, err
	case !seen["data"]:
		return it, bad("data is missing")
	case !plain(it.Type, maxType):
		return it, bad(fmt.Sprintf("type must be 1 to %d bytes without line breaks, control characters and spaces around it", maxType))
	case slices.Contains(ownTypes, it.Type):
		return it, bad("type " + it.Type + " is reserved for the stream")
	case it.ID != "" && !plain(it.ID, maxID):
		return it, bad(fmt.Sprintf("id must be at most %d bytes without line breaks, control characters and spaces around it", maxID))
	}
	it.Type, it.ID = strings.Clone(it.Type), strings.Clone(it.ID)
	return it, nil
}

// idText is the id as a text: a string's, or a number as it is written. null and "" are none.
func idText(v []byte) (string, error) {
	switch c := v[0]; {
	case c == '"':
		return wire.Text(v)
	case c == '-' || c >= '0' && c <= '9':
		return string(v), nil
	case string(v) == "null":
		return "", nil
	}
	return "", bad("id must be a string or a number")
}

// plain reports whether a text fits on a line of an event stream, and comes back in a header as it was.
func plain(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && strings.TrimSpace(s) == s && strings.IndexFunc(s, unsafeRune) < 0
}

// unsafeRune reports whether a character may end a line in some client.
func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff'
}

// append appends the item as it is kept.
func (it *item) append(dst []byte) []byte {
	return append(encode.Members(append(dst, '{'), "type", it.Type, "id", it.ID, "data", it.Data), '}')
}

// read reads an item as it is kept. It returns false for what is none.
func read(data []byte) (item, bool) {
	var it item
	err := wire.Members(data, func(key string, v []byte) (err error) {
		switch key {
		case "type":
			it.Type, err = wire.Text(v)
		case "id":
			it.ID, err = wire.Text(v)
		case "data":
			it.Data = v
		}
		return err
	})
	return it, err == nil && it.Data != nil && plain(it.Type, maxType) && plain(it.ID, maxID)
}

// appendItem appends a change as pages get it. Deletions are not sent.
func appendItem(dst []byte, c *broker.ChangeView) (event []byte, id string) {
	if c.Op == broker.Delete || c.Data == nil {
		return dst, ""
	}
	it, ok := read(c.Data)
	if !ok { // published on the channel by other means
		return append(append(append(dst, "data: "...), c.Data...), '\n'), ""
	}
	return wire.AppendEvent(dst, it.Type, it.Data), it.ID
}

func bad(message string) error { return problem.New(400, "bad_request", message, false) }
