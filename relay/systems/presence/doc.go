// Package presence serves clients that report their presence themselves: the topics presence.join, presence.leave and
// presence.heartbeat.
//
// The entry point is [New], a relay.System. The relay keeps who is in a channel: it sees connections subscribe and end.
// This package adds what clients report, with a status and metadata. Both are one set: a user is in it once, while
// anything keeps them there. Changes are published on "presence:{channel}", group "users".
//
// What a client reports holds for 60 seconds. A heartbeat renews it without a message to others; one that comes too late
// brings the user back with their last status and metadata. When a connection ends, its user has 5 seconds to come back.
//
// It refuses users without a token, channels that the user may not subscribe to, and more channels than
// limits.subscriptions for one connection.
//
// The user is the session's, whatever the payload says. A backend emits the same topics for a user that it names, and
// renews them as clients do.
//
// There are no goroutines. Locks: places.mu is held alone; the relay has its own.
package presence
