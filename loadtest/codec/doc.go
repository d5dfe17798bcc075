// Package codec is the client side of the protocols that a load generator speaks: WebSocket frames,
// HTTP requests and responses, and Server-Sent Events. Everything is incremental: a decoder is fed
// whatever bytes the socket had and calls back for each whole unit, so that one thread can drive
// thousands of connections. Nothing here reads or writes a socket, starts a goroutine or takes a lock;
// a decoder belongs to the loop that owns its connection.
//
// It refuses what a client must refuse: a wrong handshake answer, masked or oversized frames, broken
// fragmentation, headers over 16 KiB, bodies and messages over 16 MiB. It does not check UTF-8 and does
// not negotiate compression.
package codec

import "errors"

// Limits of what is accepted from a server, in bytes.
const (
	maxHeader  = 16 << 10
	maxMessage = 16 << 20
)

// ErrProtocol means that the peer broke the protocol it was spoken to in.
var ErrProtocol = errors.New("protocol violation")
