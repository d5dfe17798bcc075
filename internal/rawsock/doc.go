// Package rawsock sends and receives on the descriptor of a socket without ever waiting.
//
// [Send], [Receive] and [Skip] make the raw form of the system call: since it cannot block (MSG_DONTWAIT), telling the
// scheduler about it would cost more than a call that moves nothing. So do [Accept], [Shutdown] and [Close]. [Control] lends the
// descriptor of a connection of package net, [Take] takes it, and [Stream] makes a connection with deadlines of a descriptor.
// The package holds no state, takes no lock and starts no goroutine. The caller sees to it that the descriptor is open
// and means the socket that it is taken for: a number is given out again as soon as it is closed.
//
// Systems other than Linux have none of this: [Supported] is false there, and the calls return EAGAIN.
package rawsock
