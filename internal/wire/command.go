package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Command is one object that a client sends, or one publication of a backend. Its strings and bytes
// alias the message that it was parsed from, unless they held escapes: they are valid as long as that is
// left alone.
type Command struct {
	Type           string
	ID             []byte // as it stood in the JSON; nil: none
	Channel        string
	Channels       []byte // of a backend's publication for several: JSON as it stood; nil: none
	Op             string
	Group          string
	Key            string
	Data           []byte // valid JSON on one line; nil: none
	TTL            int64  // milliseconds
	Offset         uint64 // of an append, with HasOffset: code points
	HasOffset      bool
	IdempotencyKey string
	Exclude        string
	Connection     string // of the event stream that a posted command is about
	Epoch          string // of position
	Seq            uint64 // of position
	HasPosition    bool
	Groups         []string
	Before         uint64
	Limit          int
	Count          bool
	Content        []byte // JSON string as it stood
	Topic          string
	Token          string
	Ack            string
	Method         string // of a call
	Ordered        bool   // it is answered after the calls before it
	Traceparent    string // the trace that a publication belongs to (W3C Trace Context); well-formed

	seen    uint32
	oneLine bool // it was parsed from one
}

// ErrField is wrapped by the errors about a member of a command that has the wrong form.
var ErrField = errors.New("a member has the wrong form")

// worded is an error in other words.
type worded struct {
	text string
	err  error
}

func (e worded) Error() string { return e.text }
func (e worded) Unwrap() error { return e.err }

// fieldError is an ErrField with what is wrong and what is wanted.
func fieldError(text string) error { return worded{text, ErrField} }

// wanted returns what a member has to be.
func wanted(key string) string {
	switch key {
	case "ttl":
		return "a whole number of ms, 0 or more"
	case "before", "limit", "offset":
		return "a whole number"
	case "count", "ordered":
		return "true or false"
	case "position":
		return `an object of "epoch", a string, and "seq", a whole number`
	case "groups":
		return fmt.Sprintf("a list of up to %d names", maxGroups)
	}
	return "a string"
}

// maxGroups bounds the groups of a subscribe.
const maxGroups = 16

// field is the bit of Command.seen for a member that may come once.
type field uint32

const (
	fType field = 1 << iota
	fID
	fChannel
	fOp
	fGroup
	fKey
	fData
	fTTL
	fIdempotency
	fExclude
	fConnection
	fPosition
	fGroups
	fBefore
	fLimit
	fCount
	fContent
	fTopic
	fToken
	fAck
	fChannels
	fMethod
	fOrdered
	fTraceparent
	fOffset
	fUnknown // a member that no command has
)

// The members that a publication and an event of a backend may have.
const (
	Publication = uint32(fChannel | fOp | fGroup | fKey | fData | fTTL | fIdempotency | fExclude | fAck | fChannels | fOffset | fTraceparent)
	Emission    = uint32(fTopic | fKey | fData | fTraceparent)
)

// Within reports whether the command has no members but those.
func (c *Command) Within(members uint32) bool { return c.seen&^members == 0 }

// Beyond returns the names in b, which has been parsed, that are not among those members; 8 at most.
func Beyond(b []byte, members uint32) (names []string) {
	_ = Members(b, func(key string, v []byte) error {
		var one Command
		if _ = one.member(key, v); one.seen&^members != 0 && len(names) < 8 {
			names = append(names, strings.Clone(key))
		}
		return nil
	})
	return names
}

// Parse reads b, a JSON object, into c. Unknown members are ignored, and a null counts as absent, but for data. It may
// write to b: line breaks between the tokens of data become spaces, so that the value stands on one line.
// Errors: ErrJSON, ErrDepth, or one that wraps ErrField and names the member; c.ID is set then, if there
// is a good one.
func (c *Command) Parse(b []byte) error { return c.parse(b, false) }

// ParseLine is Parse of what has no line breaks, which are not looked for.
func (c *Command) ParseLine(b []byte) error { return c.parse(b, true) }

func (c *Command) parse(b []byte, oneLine bool) error {
	*c = Command{oneLine: oneLine}
	var bad error
	err := Members(b, func(key string, v []byte) error {
		if e := c.member(key, v); e != nil && bad == nil {
			bad = e // the id may still come
		}
		return nil
	})
	if err == nil {
		err = bad
	}
	return err
}

func (c *Command) member(key string, v []byte) (err error) {
	var f field
	var text *string
	switch key {
	case "type":
		f, text = fType, &c.Type
	case "id":
		f = fID
		if string(v) == "null" {
			break
		}
		if len(v) > MaxID || v[0] != '"' && v[0] != '-' && (v[0] < '0' || v[0] > '9') {
			return fieldError(fmt.Sprintf("id must be a string or number of at most %d bytes", MaxID))
		}
		c.ID = v
	case "channel":
		f, text = fChannel, &c.Channel
	case "channels":
		f = fChannels
		if string(v) != "null" {
			c.Channels = v
		}
	case "op":
		f, text = fOp, &c.Op
	case "group":
		f, text = fGroup, &c.Group
	case "key":
		f, text = fKey, &c.Key
	case "data":
		f = fData
		if c.Data = v; !c.oneLine {
			c.Data = OneLine(v)
		}
	case "ttl":
		f = fTTL
		c.TTL, err = strconv.ParseInt(alias(v), 10, 64)
		if c.TTL < 0 {
			err = ErrField
		}
	case "offset":
		f = fOffset
		c.Offset, err = strconv.ParseUint(alias(v), 10, 64)
		c.HasOffset = err == nil
	case "idempotencyKey":
		f, text = fIdempotency, &c.IdempotencyKey
	case "exclude":
		f, text = fExclude, &c.Exclude
	case "connectionId":
		f, text = fConnection, &c.Connection
	case "position":
		f = fPosition
		err = c.position(v)
	case "groups":
		f = fGroups
		err = c.groups(v)
	case "before":
		f = fBefore
		c.Before, err = strconv.ParseUint(alias(v), 10, 64)
	case "limit":
		f = fLimit
		c.Limit, err = strconv.Atoi(alias(v))
	case "count":
		f = fCount
		c.Count, err = strconv.ParseBool(alias(v))
	case "content":
		f = fContent
		if _, err = Text(v); err == nil {
			c.Content = v
		}
	case "topic":
		f, text = fTopic, &c.Topic
	case "token":
		f, text = fToken, &c.Token
	case "ack":
		f, text = fAck, &c.Ack
	case "method":
		f, text = fMethod, &c.Method
	case "traceparent":
		f, text = fTraceparent, &c.Traceparent
	case "ordered":
		f = fOrdered
		c.Ordered, err = strconv.ParseBool(alias(v))
	default:
		c.seen |= uint32(fUnknown)
		return nil
	}
	if text != nil {
		*text, err = Text(v)
	}
	if err != nil && string(v) == "null" {
		err = nil // what serializers write for what is not set
	}
	if err != nil {
		return fieldError(key + " must be " + wanted(key))
	}
	if f == fTraceparent && !ValidTraceparent(c.Traceparent) {
		c.Traceparent = "" // W3C Trace Context, section 3.2.2.5: as if there were none
	}
	if c.seen&uint32(f) != 0 {
		return fieldError("duplicate member " + key)
	}
	c.seen |= uint32(f)
	return nil
}

func (c *Command) position(v []byte) error {
	if string(v) == "null" {
		return nil
	}
	var epoch, seq bool
	err := Members(v, func(key string, v []byte) (err error) {
		switch key {
		case "epoch":
			epoch = true
			c.Epoch, err = Text(v)
		case "seq":
			seq = true
			c.Seq, err = strconv.ParseUint(alias(v), 10, 64)
		}
		return err
	})
	if err == nil && !(epoch && seq) {
		err = ErrField
	}
	c.HasPosition = true
	return err
}

func (c *Command) groups(v []byte) error {
	return Elements(v, func(v []byte) error {
		g, err := Text(v)
		if err != nil || !ValidName(g) || len(c.Groups) == maxGroups {
			return ErrField
		}
		c.Groups = append(c.Groups, g)
		return nil
	})
}

// OneLine replaces the line breaks of a valid JSON value, which can only stand between its tokens. A value of one token has
// none.
func OneLine(v []byte) []byte {
	if len(v) == 0 || v[0] != '{' && v[0] != '[' {
		return v
	}
	for _, br := range []byte("\n\r") {
		for i := bytes.IndexByte(v, br); i >= 0; i = bytes.IndexByte(v, br) {
			v[i] = ' '
		}
	}
	return v
}
