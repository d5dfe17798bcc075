// Package relay is the server: HTTP, WebSocket and SSE on one side, channels on the other.
//
// [New] makes a [Relay] from a [config.Config]; [Relay.Serve] runs it until its context ends and then drains.
// A client's connection becomes a session: who it is, what it may do, what it follows. A backend's
// publish is authenticated and handed to package hub, which limits it, orders it through package broker and
// fans it out.
//
// # What it refuses
//
// Everything before it is needed: requests that two HTTP implementations might read differently, foreign
// origins, tokens that do not hold, frames that announce too much, floods. A bad command gets an error
// with its id and the connection lives; a bad frame closes the connection with the right code. A panic
// on a connection's path ends that connection, is logged once with its stack, and counted. No internal
// detail is ever sent: package problem alone says what errors look like outside.
//
// # Goroutines
//
// Sessions are read in turns: a worker handles what has come and then awaits more, so that an idle session
// has no goroutine; package session waits for the last turns. The pool's loops do all writing but direct
// answers. Housekeeping (token expiry, memory watch, certificate watch) ends with Serve's context. Side
// work, such as snapshots for readers that were too slow, runs on a bounded pool of workers.
//
// # Locks, in the order in which they may be taken
//
// Session.mu, a part of package presence, a channel's lock in the broker, the window's lock, a shard's mailbox.
// The other locks of session and Conn.mu are leaves. Nothing is sent to a socket under
// any of them but the connection's own.
//
// # What happens when it is full
//
// Publishers get "overloaded" (503) when more is accepted than can be written. Connections beyond the
// caps get 429 or 503 with Retry-After before anything is read from them. A connection that does not read
// is bounded by Limit.Queue and the policy of the namespace.
package relay
