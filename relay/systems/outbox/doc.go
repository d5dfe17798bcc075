// Package outbox publishes what an application has written into a table of PostgreSQL, in the same transaction as its own rows. So a
// message is published if and only if the transaction was committed.
//
// The entry point is [New], a relay.System. [DDL] makes the table.
//
// # Order
//
// Rows are published in the order of their ids, which come from a sequence when they are inserted. If two transactions change the same
// row of the application and then write to the outbox, one waits for the other, so their ids are in the order of their commits. But
// ids become visible out of order: an open transaction may have a smaller one. A row is published when it is settled, that is when
// no smaller id can appear any more:
//
//   - all ids below it have been seen, without a gap; or
//   - each transaction that was writing to the table when the row was first seen has ended. These hold the lock ROW EXCLUSIVE on
//     it, from before they get their first id until their end, and pg_locks lists them.
//
// The usual way is to compare transaction ids with pg_snapshot_xmin. It loses nothing, but does not keep the order (a transaction that
// began first may write last), and any open transaction of the whole server would hold up all rows: a migration, a backup, another
// database. Here a long transaction costs something only if it has written to the table itself: rows that were inserted after its first
// one wait for its end, since they must not overtake it. Writers never wait. It needs a sequence without a cache, which is the default.
//
// # At least once
//
// A row is deleted, or marked if rows are to be kept, when its publication has been accepted, and is on disk if the channel is durable. After
// a crash of either side some rows are published again, with the same idempotency key: the table, the id and the time of insertion, since
// TRUNCATE may make ids begin anew.
//
// A row that can never be published (a wrong name, too large, no JSON) is marked with the reason and passed over. One that is refused for now
// holds up only its own channel. If maxHeld channels wait, all wait.
//
// # One reader
//
// In a cluster the node that owns the key of the table reads it. The reader holds an advisory lock of the database, so that there is
// never another one. The lock ends with the session of the database; the server notices within half a minute that a host is gone.
//
// # Goroutines
//
// One goroutine owns the connection and all state of the reader. System.Close ends it and waits for it, at most for a disk and lastWords. A
// batch is bounded in rows and bytes. Nothing else is queued: what waits, waits in the table.
package outbox
