// Package websocket reads WebSocket connections: the handshake, the check of every frame header, and messages (RFC 6455
// and RFC 7692). Writing is package pool's.
//
// [ReadOffer] checks an upgrade request, [Offer.AppendSwitch] answers it. A [Reader] then reads what the client sends, in
// turns, and gives it to its [Handler].
//
// # What it refuses
//
// Frames that RFC 6455 forbids, with the close code that it names; frames that announce more than a message may have,
// unless they are to be passed over; too many control frames and empty fragments; text that is not UTF-8.
//
// # Goroutines and locks
//
// There are none here. A Reader belongs to who has its session's turn; the buffers that it reads into are shared by all
// through a pool and are its own during a turn only.
//
// # What happens when it is full
//
// Nothing waits: a Reader holds what has come of one frame and of one message, both bounded by the limit of a message. A
// message beyond it is read piece by piece, and nothing of it is kept but the ids of the commands in it, so that they can be
// refused by name.
package websocket
