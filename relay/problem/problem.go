package problem

import (
	"errors"
	"strconv"

	"weir/broker"
	"weir/broker/disk"
	"weir/broker/ledger"
	"weir/internal/wire"
)

// Error is an error as clients and backends are told it.
type Error struct {
	Status    int    // HTTP
	Code      string // stable, for programs
	Message   string // for people
	Detail    string // what it is in this case; "" if the message says it all
	Retryable bool   // the same request may succeed later
	Members   string // further members for programs: JSON, each behind a comma; "" none
}

// Error implements error.
func (f *Error) Error() string { return f.Code + ": " + f.Message }

// The errors that the relay tells. Of those with a more specific text With makes a copy.
var (
	BadJSON          = &Error{400, "invalid_json", "Invalid message format", "", false, ""}
	TooDeep          = &Error{400, "invalid_json", "the JSON is nested too deeply", "", false, ""}
	BadField         = &Error{400, "bad_request", "a field is missing or has the wrong form", "", false, ""}
	UnknownMember    = &Error{400, "unknown_member", "unknown member", "", false, ""}
	UnknownType      = &Error{400, "unknown_type", "unknown message type", "", false, ""}
	BadChannel       = &Error{400, "bad_channel", "channel must be 1 to 255 of A-Z a-z 0-9 _ - . : / @ ~ = and not begin with a dot", "", false, ""}
	BadName          = &Error{400, "bad_name", "group and key must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =", "", false, ""}
	Unauthorized     = &Error{401, "unauthorized", "a valid token or API key is required", "", false, ""}
	TokenExpired     = &Error{401, "token_expired", "the token has expired", "", false, ""}
	Forbidden        = &Error{403, "forbidden", "not allowed", "", false, ""}
	ForeignOrigin    = &Error{403, "origin", "this origin is not allowed", "", false, ""}
	NotFound         = &Error{404, "not_found", "not found", "", false, ""}
	MethodNotAllowed = &Error{405, "method_not_allowed", "this method is not allowed here", "", false, ""}
	NotSubscribed    = &Error{409, "not_subscribed", "not subscribed to this channel", "", false, ""}
	NotText          = &Error{409, "not_text", "the item is not text: append requires a string", "", false, ""}
	WrongOffset      = &Error{409, "wrong_offset", "the text has another length than offset", "", false, ""}
	TooLarge         = &Error{413, "too_large", "the message is too large", "", false, ""}
	TooManyItems     = &Error{409, "too_many_items", "limit reached: the channel has too many items", "", false, ""}
	MediaType        = &Error{415, "media_type", "expected application/json or application/x-ndjson", "", false, ""}
	ContentEncoding  = &Error{415, "content_encoding", "compressed bodies are not accepted: send the body without Content-Encoding", "", false, ""}
	HeadersTooLarge  = &Error{431, "headers_too_large", "the request header is too large", "", false, ""}
	URITooLong       = &Error{414, "uri_too_long", "the request address is too long", "", false, ""}
	RateLimited      = &Error{429, "rate_limited", "too many requests", "", true, ""}
	TooMany          = &Error{429, "too_many", "limit reached: too many connections", "", true, ""}
	TooManyChannels  = &Error{429, "too_many", "limit reached: limits.subscriptions", "", false, ""}
	Internal         = &Error{500, "internal", "internal error", "", true, ""}
	NoKeys           = &Error{503, "no_keys", "the keys for checking tokens have not been fetched yet", "", true, ""}
	Overloaded       = &Error{503, "overloaded", "the relay is overloaded", "", true, ""}
	Storage          = &Error{503, "storage", "the change is not stored: the storage fails", "", true, ""}
	Unavailable      = &Error{503, "unavailable", "the backend that decides about this did not respond", "", true, ""}
	damaged          = &Error{503, "storage", "the stored channel cannot be read", "", true, ""}
	BadRequest       = &Error{400, "bad_request", "malformed HTTP request", "", false, ""}
	UpgradeRequired  = &Error{426, "upgrade_required", "Sec-WebSocket-Version must be 13", "", false, ""} // RFC 6455, section 4.4
	Draining         = &Error{503, "draining", "the relay is shutting down", "", true, ""}
)

// New returns an error that clients and backends are told as it is: an HTTP status from 400, a stable code for
// programs and a message for people. Retryable says that the same request may succeed later.
func New(status int, code, message string, retryable bool) error {
	return &Error{Status: status, Code: code, Message: message, Retryable: retryable}
}

// With returns a copy of the error with a message of its own.
func (f *Error) With(message string) *Error {
	g := *f
	g.Message = message
	return &g
}

// Because returns a copy of the error whose detail is what err says.
func (f *Error) Because(err error) *Error {
	g := *f
	g.Detail = err.Error()
	return &g
}

// Of returns the error as it is told outside. What is not known here is Internal.
func Of(err error) *Error {
	var f *Error
	var offset *broker.OffsetError
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, wire.ErrJSON):
		return BadJSON.Because(err)
	case errors.Is(err, wire.ErrDepth):
		return TooDeep.Because(err)
	case errors.Is(err, wire.ErrField):
		return BadField.With(err.Error())
	case errors.Is(err, broker.ErrNoKey):
		return BadField.With(broker.ErrNoKey.Error())
	case errors.Is(err, broker.ErrText):
		return BadField.With(broker.ErrText.Error())
	case errors.Is(err, broker.ErrHalf):
		return BadField.With(broker.ErrHalf.Error())
	case errors.Is(err, broker.ErrNotText):
		return NotText
	case errors.Is(err, broker.ErrItemTooLarge):
		return TooLarge.With("the item would be too large: limits.message also limits an item after appends")
	case errors.As(err, &offset):
		f := WrongOffset.With(offset.Error())
		f.Members = `,"offset":` + strconv.FormatUint(offset.Want, 10)
		return f
	case errors.Is(err, broker.ErrTooManyItems), errors.Is(err, broker.ErrStateTooLarge):
		return TooManyItems
	case errors.Is(err, broker.ErrTooManyChannels), errors.Is(err, broker.ErrFull):
		return Overloaded
	case errors.Is(err, broker.ErrNoChannel):
		return NotFound
	case errors.Is(err, disk.ErrFailing), errors.Is(err, broker.ErrBroken):
		return Storage
	case errors.Is(err, ledger.ErrFailing), errors.Is(err, ledger.ErrFenced), errors.Is(err, ledger.ErrNotTaken):
		return Storage.With("it is not known whether the change was stored: the NATS servers cannot store it at the moment")
	case errors.Is(err, broker.ErrNotLoaded): // its owner is just becoming another node
		return Unavailable
	case errors.Is(err, ledger.ErrTooLarge):
		return TooLarge
	case errors.Is(err, ledger.ErrFormat):
		return damaged
	case errors.Is(err, disk.ErrCorrupt):
		return damaged
	case errors.Is(err, broker.ErrClosed), errors.Is(err, disk.ErrClosed), errors.Is(err, ledger.ErrClosed):
		return Draining
	}
	return Internal
}

// AppendError appends the error message of the native protocol.
func (f *Error) AppendError(dst, id []byte) []byte {
	dst = append(dst, `{"type":"error",`...)
	dst = wire.AppendID(dst, id)
	dst = f.AppendBody(dst)
	dst = append(dst, `,"retryable":`...)
	dst = strconv.AppendBool(dst, f.Retryable)
	return append(dst, '}')
}

func (f *Error) AppendBody(dst []byte) []byte {
	dst = append(dst, `"code":"`...)
	dst = append(dst, f.Code...)
	dst = append(dst, `","message":`...)
	return f.appendDetail(wire.AppendString(dst, f.Message))
}

func (f *Error) appendDetail(dst []byte) []byte {
	dst = append(dst, f.Members...)
	if f.Detail == "" {
		return dst
	}
	return wire.AppendString(append(dst, `,"detail":`...), f.Detail)
}

// AppendProblem appends the error as a problem of RFC 9457.
func (f *Error) AppendProblem(dst []byte) []byte {
	dst = append(dst, `{"type":"about:blank","title":`...)
	dst = wire.AppendString(dst, f.Message)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(f.Status), 10)
	dst = append(dst, `,"code":"`...)
	dst = append(dst, f.Code...)
	return append(f.appendDetail(append(dst, '"')), '}')
}
