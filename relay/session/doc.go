// Package session is the clients: who a connection is, what it follows, and until when, over WebSocket and over event streams,
// whatever protocol it speaks.
//
// A [Manager] authenticates clients ([Manager.Authenticate]), gives them a place ([Manager.Place]), finds them for backends and
// systems, and ends them; [Manager.Drain] ends all. A [Session] implements pool.Owner, by which the pool tells it what happens to
// its connection, and websocket.Handler, by which it gets what the client sends. A [Protocol] is what it speaks: package native
// has the relay's own, package route those of systems.
//
// # What it refuses
//
// Connections without a token that holds, from origins that are not allowed, beyond the caps of a user or an address, or
// while it drains. A client that floods, or does not read, is closed with a code that says so.
//
// # Goroutines
//
// Sessions are read in turns: a worker handles what has come and then awaits more, so that an idle session has no
// goroutine. Commands that wait for a backend's decision or the disk are carried out beside the turn, on at most 16 workers
// for one session. Manager.readers counts both, and Drain waits for them. One goroutine ends sessions whose tokens expire;
// it ends with the context of [Manager.Start].
//
// # Locks, in the order in which they may be taken
//
// What a Protocol locks, Session.mu, and then those of package hub. Session.reading is held during a turn and taken before any.
// expiries.mu, the mu of revocations and the registry's locks are leaves. Nothing is sent to a socket under any of them.
//
// # What happens when it is full
//
// A client that has as much waiting as it may gets the error too_many, or overloaded when that holds for all together. A
// connection that does not read is bounded by Limit.Queue and by the policy of the namespace: it is closed, or it skips
// to a snapshot. The workers are as many as there are connections with something to do.
package session
