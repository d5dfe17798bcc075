package relay

import (
	"errors"
	"strconv"

	"weir/broker"
	"weir/broker/disk"
	"weir/internal/wire"
)

// fault is an error as clients and backends are told it. This file alone maps errors to HTTP statuses,
// close codes and the stable codes of the wire; what an internal error says is logged, never sent.
type fault struct {
	status    int    // HTTP
	code      string // stable, for programs
	message   string // for people
	detail    string // what it is in this case; "" if the message says it all
	retryable bool   // the same request may succeed later
}

func (f *fault) Error() string { return f.code + ": " + f.message }

// The faults. A text that is more specific is put into a copy by with.
var (
	faultJSON         = &fault{400, "invalid_json", "Invalid message format", "", false}
	faultDepth        = &fault{400, "invalid_json", "the JSON is nested too deeply", "", false}
	faultField        = &fault{400, "bad_request", "a field is missing or has the wrong form", "", false}
	faultUnknown      = &fault{400, "unknown_member", "a member is not known here", "", false}
	faultType         = &fault{400, "unknown_type", "unknown message type", "", false}
	faultChannel      = &fault{400, "bad_channel", "channel must be 1 to 255 of A-Z a-z 0-9 _ - . : / @ ~ = and not begin with a dot", "", false}
	faultName         = &fault{400, "bad_name", "group and key must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =", "", false}
	faultUnauthorized = &fault{401, "unauthorized", "a valid token or API key is needed", "", false}
	faultExpired      = &fault{401, "token_expired", "the token has expired", "", false}
	faultForbidden    = &fault{403, "forbidden", "not allowed", "", false}
	faultOrigin       = &fault{403, "origin", "this origin may not connect", "", false}
	faultNotFound     = &fault{404, "not_found", "there is no such thing here", "", false}
	faultMethod       = &fault{405, "method_not_allowed", "this method is not allowed here", "", false}
	faultSubscribed   = &fault{409, "not_subscribed", "not subscribed to this channel", "", false}
	faultTooLarge     = &fault{413, "too_large", "the message is too large", "", false}
	faultItems        = &fault{409, "too_many_items", "the channel holds as many items as it may", "", false}
	faultMedia        = &fault{415, "media_type", "expected application/json or application/x-ndjson", "", false}
	faultEncoding     = &fault{415, "content_encoding", "bodies are taken as they are only, not compressed: send it without Content-Encoding", "", false}
	faultHeaders      = &fault{431, "headers_too_large", "the request header is too large", "", false}
	faultURI          = &fault{414, "uri_too_long", "the request address is too long", "", false}
	faultRate         = &fault{429, "rate_limited", "too many requests", "", true}
	faultMany         = &fault{429, "too_many", "as many as are allowed are open already", "", true}
	faultFull         = &fault{429, "too_many", "this connection follows as many channels as it may", "", false}
	faultInternal     = &fault{500, "internal", "something went wrong here", "", true}
	faultKeys         = &fault{503, "no_keys", "the keys that tokens are checked with have not arrived yet", "", true}
	faultOverloaded   = &fault{503, "overloaded", "the relay is overloaded", "", true}
	faultStorage      = &fault{503, "storage", "the change is not stored: the disk fails", "", true}
	faultUnavailable  = &fault{503, "unavailable", "the backend that decides about this did not answer", "", true}
	faultDamaged      = &fault{503, "storage", "what is stored of the channel can not be read", "", true}
	faultDraining     = &fault{503, "draining", "the relay is shutting down", "", true}
)

// with is the fault with a text of its own.
func (f *fault) with(message string) *fault {
	g := *f
	g.message = message
	return &g
}

// because is the fault with a detail.
func (f *fault) because(err error) *fault {
	g := *f
	g.detail = err.Error()
	return &g
}

// faultOf is how an error is told. What is not known here is internal.
func faultOf(err error) *fault {
	var f *fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, wire.ErrJSON):
		return faultJSON.because(err)
	case errors.Is(err, wire.ErrDepth):
		return faultDepth.because(err)
	case errors.Is(err, wire.ErrField):
		return faultField.with(err.Error())
	case errors.Is(err, broker.ErrNoKey):
		return faultField.with("set and delete need a key")
	case errors.Is(err, broker.ErrTooManyItems), errors.Is(err, broker.ErrStateTooLarge):
		return faultItems
	case errors.Is(err, broker.ErrTooManyChannels), errors.Is(err, broker.ErrFull):
		return faultOverloaded
	case errors.Is(err, broker.ErrNoChannel):
		return faultNotFound
	case errors.Is(err, disk.ErrFailing), errors.Is(err, broker.ErrBroken):
		return faultStorage
	case errors.Is(err, disk.ErrCorrupt):
		return faultDamaged
	case errors.Is(err, broker.ErrClosed), errors.Is(err, disk.ErrClosed):
		return faultDraining
	}
	return faultInternal
}

// appendError appends the error message of the native protocol.
func (f *fault) appendError(dst, id []byte) []byte {
	dst = append(dst, `{"type":"error",`...)
	dst = wire.AppendID(dst, id)
	dst = f.appendBody(dst)
	dst = append(dst, `,"retryable":`...)
	dst = strconv.AppendBool(dst, f.retryable)
	return append(dst, '}')
}

func (f *fault) appendBody(dst []byte) []byte {
	dst = append(dst, `"code":"`...)
	dst = append(dst, f.code...)
	dst = append(dst, `","message":`...)
	return f.appendDetail(wire.AppendString(dst, f.message))
}

func (f *fault) appendDetail(dst []byte) []byte {
	if f.detail == "" {
		return dst
	}
	return wire.AppendString(append(dst, `,"detail":`...), f.detail)
}

// appendProblem appends the fault as a problem of RFC 9457.
func (f *fault) appendProblem(dst []byte) []byte {
	dst = append(dst, `{"type":"about:blank","title":`...)
	dst = wire.AppendString(dst, f.message)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(f.status), 10)
	dst = append(dst, `,"code":"`...)
	dst = append(dst, f.code...)
	return append(f.appendDetail(append(dst, '"')), '}')
}
