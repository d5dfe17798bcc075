// Package report turns the raw record of a load test into what people read: a summary, JSON, a
// self-contained HTML page with plots, a comparison of runs, and the verdict of thresholds. Everything is
// a pure function of the record (or of the JSON made from it): no clock, no I/O beyond the writer it is
// given, no goroutines.
//
// What is proved and what is inferred: on checked connections every message was parsed, so their counts
// are facts. On counted connections only frames and bytes are known. Where a checked connection of the
// same channels received exactly the same sequence of frame sizes, the counted one is taken to have
// received the same messages. Where it did not, its messages are estimated from its bytes, and the report
// says for how many that is so.
package report
