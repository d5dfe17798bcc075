// Package memnet is an in-memory network for tests: buffered connections whose reads and writes block as
// those of sockets do, and a listener. Unlike sockets, they block durably in a testing/synctest bubble;
// unlike net.Pipe, a write returns once the bytes are buffered.
//
// Entry points: [Pipe] for two connected ends, [Listen] for a net.Listener and its Dial.
//
// Each direction of a connection has a buffer of a fixed size. A writer waits while it is full, a reader
// while it is empty. Everything is guarded by one mutex a direction; no goroutine is started, but a
// deadline has a timer that wakes who waits.
package memnet
