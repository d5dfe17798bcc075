// Package ledger decides whether a relay kept its word, for fault tests. Publishers stamp what they send and note how it
// was answered, readers note what they were told, and the verdict says what was lost, repeated, reordered or damaged. It
// knows nothing of sockets and has no goroutines.
//
// Entry points: [New] for the publishers, a [Reader] for each reader, and [Ledger.Judge]. Every position is remembered:
// each reader must be contiguous or was told otherwise, nothing comes twice, positions only grow, all readers agree on
// what stood at a position, and every acknowledged message is present. A Ledger is safe for concurrent use (one mutex,
// held for map operations only), and grows with what is published; a Reader belongs to one goroutine until it is judged.
package ledger
