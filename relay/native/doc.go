// Package native is the relay's own protocol: what clients say over /ws, /sse and POST /command, and what they are told.
//
// A [Server] serves it ([Server.HandleWS], [Server.HandleSSE], [Server.HandleCommand]). What it opens are sessions, for which it
// implements session.Protocol: package session knows who a client is and what it follows, this one how commands and answers read.
// It also serves event streams in this protocol on the routes of systems ([Server.OpenEvents]).
//
// # What it refuses
//
// Commands that are wrong, that the client may not give, or that come too often: each gets an error with its id, and the
// connection lives. A client that floods, or does not read, is closed with a code that says so. A request for a stream none of
// whose channels may be followed gets the status of the first error.
//
// # Goroutines
//
// None of its own but for the questions of one request, which are waited for. Commands run in the turn of their session; those that
// have to wait for a backend, the disk or another node are given to Session.Hold and run beside it, those for one channel in order.
//
// # Locks
//
// stream.mu, a leaf: it guards where an event stream stands in its channels. What is the turn's needs none.
//
// # What happens when it is full
//
// See package session: a client that has as much waiting as it may gets the error too_many, or overloaded when that holds for all
// together.
package native
