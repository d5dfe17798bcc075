package protocol

import (
	"errors"
	"strconv"

	"weir/internal/wire"
	"weir/relay/problem"
)

// Closing is a close code of the protocol and its text. Clients come back after those from 4100 to 4299 and those below 4000, and
// never again after others.
type Closing struct {
	Code int
	Text string
}

// Error implements error: a connection is refused with it.
func (c *Closing) Error() string { return c.Text }

var (
	CloseNoApp        = &Closing{Code: 4001, Text: "Application does not exist"}
	CloseDisabled     = &Closing{Code: 4003, Text: "Application disabled"}
	CloseProtocol     = &Closing{Code: 4007, Text: "Unsupported protocol version: 5 to 7 are supported"}
	CloseNoProtocol   = &Closing{Code: 4008, Text: "No protocol version supplied"}
	closeUnauthorized = &Closing{Code: 4009, Text: "Connection is unauthorized"}
	CloseOver         = &Closing{Code: 4100, Text: "Over capacity"}
	CloseReconnect    = &Closing{Code: 4200, Text: "Please reconnect immediately"}
	closeNoPong       = &Closing{Code: 4201, Text: "Pong reply not received in time"}
)

// Message is the error that stands before the close.
func (c *Closing) Message() []byte { return ErrorMessage(c.Code, c.Text, "") }

// ErrorMessage is a pusher:error; of a channel if that is not "".
func ErrorMessage(code int, text, channel string) []byte {
	b := append(wire.AppendString([]byte(`{"event":"pusher:error","data":{"code":`+strconv.Itoa(code)+`,"message":`), text), '}')
	if channel != "" {
		b = wire.AppendString(append(b, `,"channel":`...), channel)
	}
	return append(b, '}')
}

// Refused returns how a client is turned away; see route.Dialect.
func Refused(err error) (message []byte, code int, reason string) {
	c := CloseOver // the relay's limits, its memory, and while it drains
	var own *Closing
	if errors.As(err, &own) {
		c = own
	} else if problem.Of(err) == problem.Internal {
		c = &Closing{Code: 1011, Text: "Internal error"}
	}
	return c.Message(), c.Code, c.Text
}

// Translate returns how a client is closed that the relay closes with a code of the native protocol: with none of those, some of which
// would end a client for good.
func Translate(code int, reason string) (message []byte, closeCode int, closeReason string) {
	var c *Closing
	switch code {
	case wire.CloseDraining, wire.CloseSlow:
		c = CloseReconnect
	case wire.CloseNoPong:
		c = closeNoPong
	case wire.CloseForbidden: // a backend has disconnected it
		c = closeUnauthorized
	default:
		if code < 4000 { // of RFC 6455
			return nil, code, reason
		}
		c = CloseOver // rates, load, and what is still to come
	}
	return c.Message(), c.Code, c.Text
}
