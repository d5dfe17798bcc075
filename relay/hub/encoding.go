package hub

import "weir/pool"

// The encodings of a frame. In the first ones, what a batch of one channel holds leaves out what its envelope says:
// for clients that asked for that short form. In those that begin with whole, every message names its type and its
// channel, so that a client may take it for what it is, wherever it stands.
const (
	WS        pool.Encoding = iota // WebSocket
	DeflateWS                      // WebSocket with permessage-deflate
	SSE                            // server-sent events
	CustomSSE                      // server-sent events as a system tells them; see EventStream
	WholeWS                        // the first three once more
	WholeDeflateWS
	WholeSSE
	ChunkedSSE   // eventOwn, a chunk of an HTTP body for each frame (RFC 9112, section 7.1)
	firstDialect // of the first Dialect, and behind it its form with permessage-deflate; then those of the others
)

// WholeOf is the whole form of one of the first three encodings, and shortOf the way back.
func WholeOf(enc pool.Encoding) pool.Encoding { return enc + WholeWS }
func shortOf(enc pool.Encoding) pool.Encoding { return enc - WholeWS }

func isWhole(enc pool.Encoding) bool { return enc >= WholeWS && enc <= WholeSSE }

// Deflates reports whether an encoding compresses.
func Deflates(enc pool.Encoding) bool {
	return enc == DeflateWS || enc == WholeDeflateWS || enc >= firstDialect && (enc-firstDialect)%2 == 1
}
