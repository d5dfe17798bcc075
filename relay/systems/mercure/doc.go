// Package mercure is the system "mercure": a hub of the Mercure protocol at /.well-known/mercure. Backends publish updates about
// topics with form POSTs, clients follow topics as server-sent events. The hub speaks both versions of the protocol: 0.x, which
// Symfony and API Platform send, and 1.0. It distinguishes them by the names of parameters and the claims of tokens.
//
// The entry point is [Module]. The hub is one log: the channel "mercure:updates" has every update in the order of the hub, and
// is on disk if there is a data directory. The history of its namespace bounds what can be resumed.
//
// Subscribers with the same selectors and the same rights are a class: they are members of one group. The event of an update is made
// once, and put into the window of each group once. Selectors are indexed, plain strings by the string, templates and patterns by
// their literal beginning, so that an update costs nothing for selectors that cannot match.
//
// What it refuses: requests without topics or with more than 1000, ids and types with line breaks, ids that mean something in
// the protocol, updates about the hub's own topics, tokens that are not valid, origins that are not allowed. A subscriber that
// is too slow, or whose time is over, is closed and comes back with its last id.
//
// When it is full: an update is refused with 503 when more waits than can be delivered, or when the disk fails. 4096 compiled
// selectors are kept for further use, and 100,000 subscribers are listed at most. Limits of connections are the relay's.
//
// System.mu orders updates and joins. It is held while an update is put into its log and its windows, and not while
// anything waits. The package owns no goroutine: the request itself waits for the disk.
//
// On several nodes the channel orders updates: each node listens to it, and delivers to its own subscribers (nodes). Active
// subscriptions are items of the channel, which its owner makes from the reports of all nodes (listing).
package mercure
