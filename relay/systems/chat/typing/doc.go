// Package typing is who is typing in rooms: [State] at the node that owns a room, and [Away] for what clients of a node do in rooms of others.
//
// A user's place in State is guarded by a lock, which is held while something is published; timers fire without it. Away sends the
// orders of some users at a time on a goroutine, which ends when there are none.
package typing
