package hub

import (
	"bytes"
	"strconv"
	"sync"

	"github.com/klauspost/compress/flate"

	"weir/internal/wire"
	"weir/pool"
)

// CompressFrom is the payload size from which compressing is worth it.
const CompressFrom = 512

// deflaters compress frames. Each frame is compressed once, without a window from earlier ones (RFC 7692
// calls it server_no_context_takeover), so that all connections share the result and none keeps state.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return w
}}

// EncodePayload makes a message of JSON on one line ready for the sockets of an encoding. For SSE the id
// is still to be appended, and an empty line with it.
func EncodePayload(enc pool.Encoding, event string, payload []byte) []byte {
	switch enc {
	case SSE, WholeSSE, CustomSSE, ChunkedSSE:
		return wire.AppendEvent(make([]byte, 0, len(payload)+len(event)+64), event, payload)
	case DeflateWS, WholeDeflateWS:
		if len(payload) >= CompressFrom {
			return compressedFrame(payload)
		}
	}
	return wire.TextFrame(payload)
}

// Chunk is bytes as a chunk of an HTTP body; none are none, since an empty one would be the last.
func Chunk(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	out := strconv.AppendInt(make([]byte, 0, len(b)+12), int64(len(b)), 16)
	return append(append(append(out, "\r\n"...), b...), "\r\n"...)
}

// LastChunk ends an HTTP body.
const LastChunk = "0\r\n\r\n"

// compressedFrame is payload as a compressed text frame.
func compressedFrame(payload []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	out.Grow(len(payload)/2 + 64)
	w.Reset(&out)
	_, _ = w.Write(payload) // a bytes.Buffer takes everything
	_ = w.Flush()
	b := bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff}) // RFC 7692, section 7.2.1
	return append(wire.AppendHeader(make([]byte, 0, len(b)+wire.MaxHeader), wire.OpText, true, len(b)), b...)
}
