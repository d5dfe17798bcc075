// Package loadtest measures relays: how many messages they deliver, how late, and whether all arrive. It
// sees every server from outside, weir included, and never imports its packages; a test keeps it so.
//
// Run works off a scenario and returns a record.Record of raw results; report.New judges it. FindMax
// searches the highest rate that holds. The parts are packages of their own: scenario says what is
// published when, target how each kind of server is spoken to, codec is the protocols, check the verdict
// on messages, record and report what is left of a run.
//
// # Honesty
//
// Messages are due at times fixed beforehand (an open loop) and latency counts from when a message was
// due, so that a target that stalls, or does not take messages in time, shows it. A closed loop is there
// for ceilings, and is labelled. The tool reports its own lag and CPU, and a run in which it was the
// bottleneck is not valid. On most machines one core cannot parse every message that a relay can send:
// some connections are checked message by message, and of the others only frames are followed, while
// their payloads are thrown away in the kernel (recv with MSG_TRUNC). The report says which is which.
//
// # Loops, goroutines, locks
//
// A loop is one thread with an epoll instance (or, for TLS, other systems and tests, goroutines behind a
// mutex). There is one that publishes, one for visitors that come and go, one that reads the checked
// connections and takes the time, and a few that drain the rest and may wait a little. Everything about a
// connection is owned by its loop and needs no lock; results are fetched by running functions on the
// loops. Shared are the tally (atomic), the gauge and the list of troubles (a mutex each, held for
// nothing but reading and writing them; never both). The goroutine that called Run conducts: it waits,
// takes samples and starts stages. Every goroutine ends before Run returns.
//
// # What is bounded
//
// Connections under way at a time, requests under way on a publisher's connection, the intervals of a
// record, the troubles kept in words. When the target takes no more messages, none queue up here: they
// stay due, their latency grows, and what could not be sent at all is reported as unsent.
//
// It refuses targets on other machines unless their owner says so, and impossible requests (more
// descriptors than the system gives, more messages in a request than the target takes) before anything
// is sent.
package loadtest
