// Package route is what systems speak to clients with: WebSockets and event streams on routes of their own, in protocols of
// their own.
//
// [Routes] serves them: [Routes.Serve] a WebSocket, with a [Dialect] one whose clients follow channels in another protocol,
// [Routes.ServeAdmin] one of the admin listener, [Routes.ServeEvents] an event stream of one channel, and [Routes.OpenStream]
// server-sent events of another protocol. A [Client] is one who is connected, and a [Group] is what clients join to get the same messages.
// Beneath each client is a session like all others, which counts, beats, expires and drains; the package implements
// session.Protocol for it.
//
// # What it refuses
//
// What package session refuses: clients without a token that holds, beyond the caps of a user or an address, or while the relay
// drains; and whom the system itself refuses in Admit or Identify. A client that sends too many messages, or more than may wait,
// is closed: to leave one out would be worse.
//
// # Goroutines
//
// None of its own. A system's functions run in the turn of a session or, if they may have to wait, beside it, one at a time for
// each client. Group.Flush runs on the loop of a shard.
//
// # Locks, in the order in which they may be taken
//
// Group.mu, and then Client.mu or the window's. Neither is taken with a session's lock held that the other side may hold.
//
// # What happens when it is full
//
// Group.Send returns broker.ErrFull when more waits than can be delivered; what it has accepted is delivered. A member that does not
// read is closed.
package route
