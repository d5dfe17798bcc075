package websocket

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"weir/internal/wire"
)

// inflater takes the compression off messages, one at a time: each stands alone, as the answer to the handshake demands
// (RFC 7692, section 7.1.1.2).
type inflater struct {
	tail   bytes.Reader
	in     bytes.Reader
	flate  io.ReadCloser
	result bytes.Buffer
}

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(nil)} }}

// deflateTail is what a sender takes off a message (RFC 7692, section 7.2.2), and an empty last block behind it, so that
// the end is one for DEFLATE, too.
var deflateTail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

// keptInflated bounds what an inflater holds on to between two messages, in bytes.
const keptInflated = 64 << 10

// inflate returns a message of at most limit bytes. It is good until the next one.
func (x *inflater) inflate(b []byte, limit int) ([]byte, *protocolError) {
	x.in.Reset(b)
	x.tail.Reset(deflateTail)
	if x.result.Cap() > keptInflated {
		x.result = bytes.Buffer{}
	}
	x.result.Reset()
	_ = x.flate.(flate.Resetter).Reset(io.MultiReader(&x.in, &x.tail), nil) // of a bytes.Reader it cannot fail
	_, err := x.result.ReadFrom(io.LimitReader(x.flate, int64(limit)+1))
	switch {
	case err != nil:
		return nil, &protocolError{wire.CloseBadUTF8, "message does not inflate"}
	case x.result.Len() > limit:
		return nil, &protocolError{wire.CloseTooBig, "message is too big"}
	}
	return x.result.Bytes(), nil
}

// skim goes on with a message that was more than the limit, and keeps nothing of it. It returns false if that is too much
// even so, or does not inflate.
func (x *inflater) skim(k *skim) bool {
	k.read(x.result.Bytes(), unmasked, 0)
	_, err := io.Copy(k, io.LimitReader(x.flate, maxSkipped))
	return err == nil && k.size < maxSkipped
}
