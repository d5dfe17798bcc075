// Package agent has several machines do one load test. A Server runs a part of it where it is, at the word of a
// conductor; Run is the conductor: it splits the plan, starts all parts at one moment, tells each what the others have
// published, so that every delivery can be accounted for, and merges what they have recorded.
//
// They speak HTTP, with a shared secret that every request carries. It is plain: for networks that are trusted.
//
// Clocks are not. How far those of the agents are apart is measured, before and after, and reported; it decides when
// the load begins, and nothing else. A latency is that of a message that an agent has published itself and read again,
// by one clock.
//
// A Server does one part at a time. The goroutine of a part ends with it, when its conductor has not been heard of for
// silence, or when the Server is closed.
package agent
