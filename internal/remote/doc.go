// Package remote talks to a relay from outside, as its clients and backends do: it is what the command line publishes,
// subscribes and looks for faults with.
//
// [Relay] is a relay's address with what is needed to be let in. [Relay.Do] makes requests, [Relay.Dial] opens a
// WebSocket, whose messages come from [Conn.Next]. What a relay refuses is an error that says its status and its reason.
//
// A Conn has one goroutine, which reads and ends with the connection; [Conn.Close] waits for it. What it has read and
// nobody has taken is bounded: beyond that it reads no further, as any slow client.
package remote
