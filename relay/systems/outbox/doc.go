// Package outbox publishes what an application has written into a table of PostgreSQL, in the same transaction as its own rows: a
// message is there if and only if the transaction was committed.
//
// The entry point is [New], a relay.System. [DDL] makes the table.
//
// # Order
//
// Rows are published in the order of their ids, which are drawn from a sequence when they are inserted. Where two transactions change the same
// row of the application and then tell of it, one waits for the other, and so their ids are in the order of their commits. But
// ids become visible out of order: a transaction may be open that has drawn a smaller one. A row is published when it is settled, that is when
// no smaller id can appear any more:
//
//   - all ids below it have been seen, without a gap; or
//   - each transaction that was writing to the table when the row was first seen has ended. Those hold the lock ROW EXCLUSIVE on
//     it, from before they draw their first id until their end, and pg_locks lists them.
//
// Comparing transaction ids with pg_snapshot_xmin, the usual way, would do for losing nothing, but not for the order (a transaction that
// began first may write last), and any open transaction of the whole server would hold up all rows: a migration, a backup, another
// database. Here a long transaction costs something only if it has itself written to the table: rows that were inserted after its first
// one wait for its end, since they must not overtake it. Writers wait for nobody. It needs a sequence without a cache, which is the default.
//
// # At least once
//
// Rows are deleted, or marked if they are to be kept, when what they say has been accepted, and is on disk if the channel is durable. After
// a crash of either side some come again, with the same idempotency key: of the table, the id and the time of insertion, since TRUNCATE may
// make ids begin anew.
//
// A row that can never be published (a wrong name, too large, no JSON) is marked with the reason and left behind. One that is refused for now
// holds up its own channel only, up to maxHeld channels; then all wait.
//
// # One reader
//
// In a cluster the node that owns the key of the table reads it. The reader holds an advisory lock of the database, so that there is
// never another one. The session's end lets it go; the server notices within half a minute that a host is gone.
//
// # Goroutines
//
// One, which owns the connection and all state of the reader; System.Close ends it and waits for it, at most for a disk and lastWords. A batch is
// bounded in rows and bytes. Nothing else is queued here: what waits, waits in the table.
package outbox
