// Package motia serves the stream clients of Motia apps (@motiadev/stream-client-node, -browser and -react): a page that follows an
// app's streams moves to weir by changing an address.
//
// A group of a stream is a channel, "stream:{stream}:{group}" ([channelOf] has the rule), and an item of the group is an item of the channel's
// default group. Clients get a set as "create" or "update", by [broker.ChangeView].Created, a delete as "delete", and a send as an event, of an
// item if it has a key. Native clients and backends use the same channels.
//
// The entry point is [Module]; Config has the settings. Files: client has a connection and its joins, dialect the messages of changes,
// name the names of channels and items, clock the timestamps.
//
// It refuses, each with a code of its own: joins that the token does not allow, names that become too long, and more subscriptions of a
// connection than Config.Most. A client that does not read is closed, and comes back with its joins.
//
// Locks: client.mu and System.mu are leaves, held while nothing is awaited, sent or published. The one goroutine, of clock, is ended by
// Close.
package motia
