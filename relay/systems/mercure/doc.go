// Package mercure is the system "mercure": a hub of the Mercure protocol at /.well-known/mercure. Backends publish updates about
// topics with form POSTs, clients follow topics as server-sent events. Both versions of the protocol are spoken at once: 0.x, which
// Symfony and API Platform send, and 1.0; the names of parameters and the claims of tokens tell them apart.
//
// The entry point is [Module]. The hub is one log: the channel "mercure:updates" has every update in the order of the hub, and
// is on disk if there is a data directory. What its namespace says of history is what can be resumed.
//
// Subscribers with the same selectors and the same rights are a class: they are members of one group, in whose window an update's
// event, which is made once, is put once. Selectors are indexed: those that are plain strings by the string, templates and
// patterns by what they literally begin with, so that an update costs nothing for selectors that cannot match.
//
// What it refuses: requests without topics or with more than 1000, ids and types with line breaks, ids that mean something in
// the protocol, updates about the hub's own topics, tokens that are not in order, origins that are not allowed. A subscriber that
// is too slow is closed and comes back with its last id, as is one whose time is over.
//
// When it is full: an update is refused with 503 when more waits than can be delivered, or when the disk fails. 4096 compiled
// selectors are kept for those that come again, and 100,000 subscribers are listed at most. Limits of connections are the relay's.
//
// System.mu orders updates, and joins with them. It is held while an update is put into its log and its windows, and not while
// anything waits. The package owns no goroutine: what waits for the disk does so in the request.
//
// On several nodes the channel orders updates: each node listens to it, and carries out for its own subscribers what it hears (nodes). Active
// subscriptions are items of the channel, which its owner makes of what all nodes tell (listing).
package mercure
