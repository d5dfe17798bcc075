// Package check stamps messages and follows them. Publishers stamp what they send (channel, source, number, due time,
// CRC); a Stream says of one source's numbers, as one reader sees them, which are missing, repeated or reordered. It
// knows nothing of sockets and has no goroutines. One goroutine owns a Stream, which needs constant memory while all
// goes well.
//
// A Stream that misses very many separate ranges forgets the oldest one (see spanLimit): it stays counted as lost, and a
// late arrival in it counts as a duplicate.
//
// Package ledger of relay/relaytest is the stricter judge over the same stamps, for fault tests.
package check
