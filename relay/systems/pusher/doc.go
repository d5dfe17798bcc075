// Package pusher speaks the Pusher Channels protocol, version 7: its sockets, its signed HTTP API and its webhooks, so that apps
// made for it move to weir by changing an address.
//
// An app has a namespace, and its channels are weir's: "room" is "{namespace}:room" ([protocol.ChannelOf] has the rule). An event is a change
// by send, a member of a presence channel an item of the group "members", the last event of a cache channel the item "event" of the
// group "cache", with a time to live. Native clients and backends follow and fill the same channels.
//
// Entry points: [Module]; Config says what can be set. Files: app and apps hold what belongs to an app, socket a client's
// connection, channel and member what is known of a channel while somebody is there, user signed-in users and watchlists, dialect
// what changes become, api and event the HTTP API, hook the webhooks. What is protocol and nothing else, such as names, messages and
// signatures, is package protocol.
//
// Locks, in this order, none held while a socket is written or anything is awaited: channel.mu orders who is in a channel and is held
// while that is published; app.mu is the map of channels, users.mu who is signed in: leaves. The dialect takes app.mu for reading
// only. Timers of channels are stopped by Close. What waits for webhooks is bounded by webhooks[].queue, and dropped and counted
// beyond that; an app whose events wait in windows beyond limits.backlog is refused more.
package pusher
