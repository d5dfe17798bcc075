// Package fake is a relay for tests: small, correct, and faulty on purpose where it is told to be. It
// speaks enough of weir's protocol (WebSocket, publish, NDJSON, windows, items, presence, resume) and of
// plain broadcast servers (WebSocket, event streams) for every scenario to run against it, over
// connections in memory so that time may be virtual, or over TCP.
//
// A Server holds everything under one mutex. Each connection has a reading and a writing goroutine,
// which end with it; Close ends them all and waits. Queues are unbounded: it is for tests.
package fake
