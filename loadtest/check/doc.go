// Package check decides whether a relay kept its word. Publishers stamp what they send (channel,
// source, number, due time, CRC), readers report what arrived, and the verdict says what was lost,
// repeated, reordered or damaged. It knows nothing of sockets and has no goroutines.
//
// There are two judges over the same stamps:
//
//   - Stream is the cheap one, for load: it follows one source's numbers as one reader sees them, in
//     constant memory while all goes well, and counts. One goroutine owns a Stream.
//   - Ledger and Reader are the strict ones, for fault tests: they remember every position and demand
//     that each reader is contiguous or was told otherwise, that nothing comes twice, that positions
//     only grow, that all readers agree on what stood at a position, and that every acknowledged
//     message is present. A Ledger is safe for concurrent use (one mutex, held for map operations
//     only); a Reader belongs to one goroutine until it is judged.
//
// A Stream that misses very many separate ranges forgets the oldest one (see spanLimit): it stays
// counted as lost, and a late arrival in it counts as a duplicate. A Ledger grows with what is
// published and is meant for tests.
package check
