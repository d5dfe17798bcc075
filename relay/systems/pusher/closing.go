package pusher

import (
	"errors"

	"weir/internal/wire"
	"weir/relay/problem"
)

// closing is a close code of the protocol and its text. Clients come back after those from 4100 to 4299 and those below 4000, and
// never again after others.
type closing struct {
	code int
	text string
}

// Error implements error: a connection is refused with it.
func (c *closing) Error() string { return c.text }

var (
	closeNoApp        = &closing{4001, "Application does not exist"}
	closeDisabled     = &closing{4003, "Application disabled"}
	closeProtocol     = &closing{4007, "Unsupported protocol version: 5 to 7 are supported"}
	closeNoProtocol   = &closing{4008, "No protocol version supplied"}
	closeUnauthorized = &closing{4009, "Connection is unauthorized"}
	closeOver         = &closing{4100, "Over capacity"}
	closeReconnect    = &closing{4200, "Please reconnect immediately"}
	closeNoPong       = &closing{4201, "Pong reply not received in time"}
)

// message is the error that stands before the close.
func (c *closing) message() []byte { return errorMessage(c.code, c.text, "") }

// errorMessage is a pusher:error; of a channel if that is not "".
func errorMessage(code int, text, channel string) []byte {
	b := append(wire.AppendString([]byte(`{"event":"pusher:error","data":{"code":`+itoa(code)+`,"message":`), text), '}')
	if channel != "" {
		b = wire.AppendString(append(b, `,"channel":`...), channel)
	}
	return append(b, '}')
}

// refused says how a client is turned away; see route.Dialect.
func refused(err error) (message []byte, code int, reason string) {
	c := closeOver // the relay's limits, its memory, and while it drains
	var own *closing
	if errors.As(err, &own) {
		c = own
	} else if problem.Of(err) == problem.Internal {
		c = &closing{1011, "Internal error"}
	}
	return c.message(), c.code, c.text
}

// translate says how a client is closed that the relay closes with a code of the native protocol: with none of those, some of which
// would end a client for good.
func translate(code int, reason string) (message []byte, closeCode int, closeReason string) {
	var c *closing
	switch code {
	case wire.CloseDraining, wire.CloseSlow:
		c = closeReconnect
	case wire.CloseNoPong:
		c = closeNoPong
	case wire.CloseForbidden: // a backend has disconnected it
		c = closeUnauthorized
	default:
		if code < 4000 { // of RFC 6455
			return nil, code, reason
		}
		c = closeOver // rates, load, and what is still to come
	}
	return c.message(), c.code, c.text
}
