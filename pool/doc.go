// Package pool holds the live connections and writes to them without ever waiting for one.
//
// A [Pool] has P shards, P being GOMAXPROCS rounded up to a power of two. A [Shard] has one loop
// goroutine that alone owns the shard's connections, the subscribers of every [Topic] on that shard and
// its mailbox. Opening, joining, leaving, delivering and closing are messages to that loop: they need no
// locks and are ordered with each other. What several topics have due for one connection leaves in one
// write. Entry points: [New], [Pool.Open], [Pool.Topic], [Conn.Join] and [Topic.Deliver]. The package
// knows nothing of what the bytes mean: framing, encodings and positions are its user's.
//
// # The output of a connection
//
// All bytes to a connection go through its one ordered output. On Linux TCP sockets that is a
// non-blocking sendto of shared bytes: the descriptor is taken over from who opens the connection, and package net knows nothing of
// it any more. What does not fit is queued, up to Config.Queue bytes, and an
// on-demand goroutine that waits for the pool's poller writes it when the socket drains. TLS connections,
// connections that are not sockets, and other systems have no such call: they always queue, and the
// same goroutine writes with net.Conn.Write. A frame of which a part was sent is always finished.
//
// Reading is the owner's. On Linux TCP sockets it need not wait in a goroutine: [Conn.Await] has the owner
// called when there is something, and [Conn.TryRead] reads it.
//
// # What happens when it is full
//
// The topic's policy decides what a reader with a full queue gets. Under Disconnect its [Owner] is called
// and closes it; nothing is sent after the frame that did not fit. Under Resync the frames of such topics
// leave its queue, no more of them are queued, and when the socket has drained the owner is called to send
// a snapshot. Either way no reader gets a frame after one that it missed. Tailed connections are always
// disconnected, because what they get with each frame claims all frames before. A connection whose
// queue makes no progress for Config.Stall is closed, unless frames were dropped from it and a snapshot is
// due. The mailbox of a shard holds frames worth at most Config.Backlog bytes; past it [Pool.Full] is true
// and publishers must be refused.
//
// # What happens when a frame is missing
//
// If a frame of a topic cannot be built, one with [Frame.Missing] is delivered in its place. Every reader
// that lacks it gets nothing any more, and its owner is called, as if it had been too slow; it goes on elsewhere from what
// it has got. With Config.Panic, panics on a loop are contained: one over a connection costs that connection, one over a
// frame those that it is for, one in a scheduler nothing here.
//
// # Who owns what
//
// Conn.mu guards a connection's output and is the only lock held around a write, one non-blocking call
// at a time. Shard.mu guards the mailbox, for the copy of one small struct. They are never held together,
// no owner is called with either. A socket is closed under Conn.mu; closing what may wait happens under none. Pool.mu and the
// poller's are leaves, taken under Conn.mu.
//
// Loops end in Pool.Close. A goroutine started for a queue ends when the queue is empty or the connection
// is closed, one started to close a connection when that is done, and the poller's at the end.
// Pool.Close waits for all of them.
package pool
