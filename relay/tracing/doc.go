// Package tracing reports to an OpenTelemetry collector where a published message spends its time: spans for when it was accepted, stored, waited in
// its window, became a frame, and was first and last written to a connection.
//
// The entry points are [Open] and [Tracer.Begin]. Without a tracer nothing here is called but [Tracer.Active], which is one load. A message that is
// not sampled costs what the library takes to decide so.
//
// # Ownership
//
// Tracer.mu guards what is known of messages under way; it is a leaf, and is taken only for messages that are sampled. Spans are made when all is known, or
// [patience] after the message was accepted, on a timer. At most [most] messages are under way; those beyond are not traced, and counted. The
// library has a queue of its own, bounded, and a goroutine, which Close ends.
package tracing
