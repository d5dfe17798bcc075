// Package presence serves clients that say themselves where they are: the topics presence.join, presence.leave and
// presence.heartbeat.
//
// The entry point is [New], a relay.System. Who is in a channel is kept by the relay, which sees connections
// subscribe and end (relay/systems/presence.go); this package adds what clients say (relay/attend.go), with a status and
// metadata. Both are one set: a user is in it once, while anything keeps them there. It is told on
// "presence:{channel}", group "users".
//
// What a client says holds for 60 seconds, and a heartbeat renews it without a word to others; one that comes too
// late brings the user back as they were. A connection that ends leaves its user 5 seconds to come back.
//
// It refuses users without a token, channels that they may not follow, and more of them than limits.subscriptions
// for one connection.
//
// The user is the session's, whatever the payload says. A backend emits the same topics for a user that it
// names, and renews them as clients do.
//
// There are no goroutines. Locks: a part of places is held alone; the relay has its own.
package presence
