package wire

import (
	"encoding/json"
	"strconv"
)

// The envelopes below are put together by appending, so that a message that was encoded once is never
// encoded again. A change stands in the log as a JSON object without type and channel; open is such an
// object without its first brace.

// AppendUpdate appends the message that carries one change of a channel; change is the JSON object
// from the log.
func AppendUpdate(dst []byte, channel string, change []byte) []byte {
	dst = append(dst, `{"type":"channel_update","channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, `",`...)
	return append(dst, change[1:]...)
}

// AppendOwn appends the message that carries one change of the user's own channel.
func AppendOwn(dst []byte, change []byte) []byte {
	dst = append(dst, `{"type":"update",`...)
	return append(dst, change[1:]...)
}

// AppendBatch appends the message that carries several changes of one channel; body is the objects from
// the log separated by commas.
func AppendBatch(dst []byte, channel string, body []byte) []byte {
	dst = append(dst, `{"type":"batch","channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, `","messages":[`...)
	dst = append(dst, body...)
	return append(dst, `]}`...)
}

// OpenBatch and CloseBatch enclose messages that each name their own type.
const (
	OpenBatch  = `{"type":"batch","messages":[`
	CloseBatch = `]}`
)

// AppendPosition appends a position as a JSON object. Epochs need no escaping.
func AppendPosition(dst []byte, epoch string, seq uint64) []byte {
	dst = append(dst, `{"epoch":"`...)
	dst = append(dst, epoch...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}

// AppendString appends s as a JSON string.
func AppendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f || c == '<' || c == '>' || c == '&' {
			q, _ := json.Marshal(s) // a string always marshals
			return append(dst, q...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// AppendID appends the id member of an answer, if the command had one, with a comma behind it.
func AppendID(dst, id []byte) []byte {
	if len(id) == 0 {
		return dst
	}
	dst = append(dst, `"id":`...)
	dst = append(dst, id...)
	return append(dst, ',')
}

// AppendEvent appends a server-sent event without its id and its final empty line, for AppendEventID.
// The payload is JSON on one line, the event a fixed word.
func AppendEvent(dst []byte, event string, payload []byte) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, event...)
	dst = append(dst, "\ndata: "...)
	dst = append(dst, payload...)
	return append(dst, '\n')
}

// AppendEventID ends an event with its id, a cursor.
func AppendEventID(dst, cursor []byte) []byte {
	dst = append(dst, "id: "...)
	dst = append(dst, cursor...)
	return append(dst, '\n', '\n')
}
