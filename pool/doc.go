// Package pool holds the live connections and writes to them without ever waiting for one.
//
// A [Pool] has P shards, P being GOMAXPROCS rounded up to a power of two. A [Shard] has one loop
// goroutine that alone owns the shard's connections, the subscribers of every [Topic] on that shard and
// its mailbox. Opening, joining, leaving, delivering and closing are messages to that loop: they need no
// locks and are ordered with each other. What several topics have due for one connection leaves in one
// write.
//
// # The output of a connection
//
// All bytes to a connection go through its one ordered output. On Linux TCP sockets that is a
// non-blocking sendto of shared bytes. What does not fit is queued, up to Config.Queue bytes, and an
// on-demand goroutine parked on the runtime's poller writes it when the socket drains. TLS connections,
// connections that are not sockets, and other systems have no such call: they always queue, and the
// same goroutine writes with net.Conn.Write. Nothing above this package can tell which is in use.
//
// # What happens when it is full
//
// The topic's policy decides what a reader with a full queue gets. Under Disconnect its [Owner] is told
// and closes it. Under Resync the frames of such topics leave its queue, no more of them are queued, and
// when the socket has drained the owner is told to send a snapshot. A connection whose queue makes no
// progress for Config.Stall is closed, unless all that it waits for can be resynced. The mailbox of a
// shard holds frames worth at most Config.Backlog bytes; past it [Pool.Full] says so and publishers are
// refused.
//
// # Who owns what
//
// Conn.mu guards a connection's output and is the only lock held around a write, one non-blocking call
// at a time. Shard.mu guards the mailbox, for the copy of one small struct. Neither is held while
// taking the other. A goroutine started for a queue ends when the queue is empty or the connection is
// closed; loops end in Pool.Close, which waits for all of them.
package pool
