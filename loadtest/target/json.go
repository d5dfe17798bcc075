package target

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"unsafe"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"

	"weir/loadtest/codec"
)

// raw is any JSON value as it stands in a message.
type raw = sonic.NoCopyRawMessage

// decoders are used again, so that a message costs no allocation.
var decoders = sync.Pool{New: func() any {
	d := decoder.NewDecoder("")
	d.SetOptions(decoder.OptionCaseSensitive | decoder.OptionNoValidateJSON)
	return d
}}

// decode reads a message. What into holds of it afterwards is part of the message, and valid as long as that is. The
// error wraps codec.ErrProtocol.
func decode(msg []byte, into any) error {
	d := decoders.Get().(*decoder.Decoder)
	d.Reset(unsafe.String(unsafe.SliceData(msg), len(msg)))
	err := d.Decode(into)
	if err == nil {
		err = d.CheckTrailings()
	}
	d.Reset("")
	decoders.Put(d)
	if err != nil {
		return fmt.Errorf("message %.120q is not understood: %w", msg, codec.ErrProtocol)
	}
	return nil
}

// scratch holds values of type T that are used again.
type scratch[T any] struct{ pool sync.Pool }

// take returns a value that is zero but for what its owner has left in it.
func (s *scratch[T]) take() *T {
	if v, ok := s.pool.Get().(*T); ok {
		return v
	}
	return new(T)
}

func (s *scratch[T]) give(v *T) { s.pool.Put(v) }

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if ch := s[i]; ch < ' ' || ch > '~' || ch == '"' || ch == '\\' {
			quoted, _ := json.Marshal(s) // a string never fails
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendRequest appends a request whose head, up to the length, is ready and whose body fill appends.
func appendRequest(dst, head []byte, fill func(dst []byte) []byte) []byte {
	const room = "00000000"
	dst = append(dst, head...)
	dst = append(dst, "Content-Length: "...)
	hole := len(dst)
	dst = append(dst, room+"\r\n\r\n"...)
	start := len(dst)
	dst = fill(dst)
	var digits [20]byte
	n := strconv.AppendInt(digits[:0], int64(len(dst)-start), 10)
	// the length is known only now: close the gap between its digits and the room left for them
	end := hole + copy(dst[hole:], n)
	end += copy(dst[end:], dst[hole+len(room):])
	return dst[:end]
}

// post is the head of a POST request up to its length, built once.
func post(e Endpoint, path string, headers ...[2]string) []byte {
	if e.close {
		headers = append(headers, [2]string{"Connection", "close"})
	}
	b := codec.Request{Method: "POST", Path: path, Host: e.Host, Headers: headers}.Append(nil)
	return b[:len(b)-2]
}
