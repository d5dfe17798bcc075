// Package wire is the native protocol as bytes: names and their alphabet, WebSocket frames, JSON
// envelopes, SSE events, close codes and the resume cursor. It has no state, no goroutines and does no
// I/O; everything appends to a buffer of the caller or reads one. The relay speaks it from one
// side and the load tester from the other.
package wire
