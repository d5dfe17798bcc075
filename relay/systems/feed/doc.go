// Package feed is the system "feed": what happens for a user, streamed to their pages as server-sent events.
// Backends post items with POST /v1/feed/{user}, users read them with GET /feed/live.
//
// The entry point is [New], a relay.System. The items of a user are changes of the channel "feed:{user}", kept
// for an hour, 256 of them, unless the namespace "feed" is configured otherwise; with a data directory they
// outlive a restart. On several nodes they are durable, and belong to the node that has the user's own channel. A stream sends what is posted while it is open. It begins with "connected", whose id is a
// cursor, and a client that comes back with its last id gets everything since, once; if that is not kept any more,
// it gets "resync" and what is kept.
//
// An item goes out with the type it was posted with as its event, its data as it was posted, and its id as the
// id, so that pages see what the backend wrote and nothing around it. An id stands for one item: posting it again
// while the first is kept changes nothing. Items without an id get one. Types and ids hold no line breaks and no
// control characters: they are refused, not escaped. What is published on the channel otherwise goes out as a
// plain message, with a cursor for its id.
//
// The package owns no goroutine and no state: channels, sessions, limits and what happens to slow readers are the
// relay's (see relay.EventStream).
package feed
