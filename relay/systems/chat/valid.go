package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"weir/internal/wire"
)

// The bounds of what users write, in Unicode code points but for those that say bytes.
const (
	maxRoomName    = 100
	maxDescription = 1000
	maxContent     = 1000
	maxReaction    = 32
	maxNonce       = 64      // bytes
	maxMetadata    = 8 << 10 // bytes
	maxUser        = 128     // bytes, as in tokens
	maxRoomID      = 64      // bytes
)

// The kinds of message.
var kinds = []string{"text", "image", "file"}

// length checks a text that must be there.
func length(field string, text *string, least, most int) error {
	if text == nil {
		return wrong(field, "is missing")
	}
	if n := utf8.RuneCountInString(*text); n < least || n > most {
		return wrong(field, fmt.Sprintf("must be %d to %d characters long, not %d", least, most, n))
	}
	return nil
}

// validUser checks the id of a user, as tokens may hold it.
func validUser(field, id string) error {
	if id == "" || len(id) > maxUser || !wire.ValidChannel(wire.UserChannel(id)) || strings.ContainsFunc(id, unicode.IsControl) {
		return wrong(field, fmt.Sprintf("must be ids of users: 1 to %d bytes without control characters", maxUser))
	}
	return nil
}

// validMetadata checks what a message carries beside its content, and returns it on one line.
func validMetadata(m json.RawMessage) (json.RawMessage, error) {
	if m == nil {
		return nil, nil
	}
	if len(m) > maxMetadata {
		return nil, wrong("metadata", fmt.Sprintf("must be at most %d bytes", maxMetadata))
	}
	var b bytes.Buffer
	if err := json.Compact(&b, m); err != nil || b.Bytes()[0] != '{' {
		return nil, wrong("metadata", "must be an object")
	}
	return b.Bytes(), nil
}

// validReaction checks a reaction: an emoji, or a word.
func validReaction(text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > maxReaction {
		return wrong("reaction", fmt.Sprintf("must be 1 to %d characters long", maxReaction))
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return wrong("reaction", "must hold no control characters")
	}
	return nil
}
