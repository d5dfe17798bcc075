// Package target knows how to speak to each kind of server that can be measured, in a few lines each:
// how a connection is opened and subscribed, how messages are published, and where in a received
// message the stamps are. An adapter only turns things into bytes and back; sockets, timing and
// counting are the engine's. The adapters therefore are measured by the same code.
//
// A Target does not change once made and is shared by all loops; what belongs to one connection is in
// its Subscriber, which only that connection's loop touches. To add a server, implement Target and
// name it in New.
package target
