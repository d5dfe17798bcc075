// Package motia speaks to the stream clients of Motia apps (@motiadev/stream-client-node, -browser and -react): a page that follows an
// app's streams moves to weir by changing an address.
//
// A group of a stream is a channel, "stream:{stream}:{group}" ([channelOf] has the rule), and an item of it an item of the channel's
// default group. A set is told as "create" or "update", by [broker.ChangeView].Created, a delete as "delete", a send as an event: of an
// item if it has a key. Native clients and backends follow and fill the same channels.
//
// Entry points: [Module]; Config says what can be set. Files: client holds a connection and what it has joined, dialect what changes
// become, name the names of channels and items, clock the timestamps.
//
// It refuses, each with a code of its own: joins that the token does not allow, names that become too long, and more subscriptions of a
// connection than Config.Most. A client that does not read is closed, and comes back with its joins.
//
// Locks: client.mu and System.mu are leaves, held while nothing is awaited, sent or published. The one goroutine, of clock, is ended by
// Close.
package motia
