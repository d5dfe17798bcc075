// Package hub is what a channel is to the relay: namespaces and who may do what in them, the fan-out of changes to
// connections, events, and the one way to publish.
//
// [New] makes a [Hub], which the relay starts, runs and ends. A publication goes through [Hub.Submit], after [Publisher] has
// read it from a backend's request or a session from a command: size, names, admission. Package broker orders it and hands
// it to the channel's [Fanout], which puts it into a window of package batch; when that closes, the Fanout builds one frame
// for each encoding that has subscribers, and package pool writes it. [Namespaces] says whether a client may do
// something, and how long it may wait for that to be known. Package presence keeps who is in a channel. [Hub.Emit] tells an event to
// the systems and to the clients that follow its topic.
//
// # What it refuses
//
// Publications that are too large, badly named, or more than can be delivered or than memory has room for ([problem.Overloaded]).
//
// # Goroutines and locks
//
// Windows are flushed on the loops of package pool; nothing else here has a goroutine but the
// background work of [Hub.Background], which is bounded. The locks, in the order in which they may be taken: a part of
// package presence, a channel's in the broker, the window's, a shard's mailbox.
//
// # What happens when it is full
//
// A channel whose window holds as much as it may, and a relay with too much on its way, refuse publications; background
// work beyond its bound is refused, and its reader closed as slow.
package hub
