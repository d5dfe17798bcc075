// Package httpcheck tells proper HTTP/1.1 requests from those that two implementations might read differently.
//
// [Request] judges a request that the HTTP server has parsed; [IsToken], [IsHost] and [IsVisible] judge its parts, for the event loops,
// which read requests themselves, and for settings. Both readers share one judgement: what only one of them let pass would be a way
// around the other.
//
// # What it refuses
//
// Lines that do not end in CR LF, folded header lines, header names that are no tokens, control characters in values, a target that
// is no path or has characters that must be percent-encoded, a missing or second Host, a second length of the body or both forms of
// it, a Transfer-Encoding other than chunked, and an upgrade with a body. More than 64 header lines and addresses beyond [MaxURI] are
// refused too; [MaxHeaderBytes] bounds the head as a whole, and its reader holds it.
//
// The package keeps no state, starts no goroutine and takes no lock. Nothing allocates for a request that is proper.
package httpcheck
