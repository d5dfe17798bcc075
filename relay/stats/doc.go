// Package stats is what the relay counts and measures about itself.
//
// [Counters] are written where things happen and shown at /metrics; every label comes from a list that is fixed at the
// start. [Snapshot] is all of it at a moment. [Histogram] counts times, [TopChannels] finds the channels on which most goes
// out, while somebody wants to know, [Memory] watches the memory limit, says what is still admitted and gives memory back after a storm of connections, and [ProcessLoad] is
// what share of its processors the process uses.
//
// Everything here may be used by many goroutines at once. Counting takes no lock. One goroutine, [Memory.Watch], is the
// relay's to start and to end by its context.
package stats
