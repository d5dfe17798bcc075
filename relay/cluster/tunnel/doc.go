// Package tunnel carries messages between a client's node and the node that owns what they are about: in both directions, in order, each
// once, or it says that the tunnel has ended.
//
// [Tunnels] are those of a process. [Tunnels.Dial] opens a [Tunnel] to the owner of a key, which accepts or refuses it. Each end has a
// [Handler] that gets what the other one sends. A [Conn] writes to a tunnel as to a connection.
//
// # How
//
// All tunnels between two processes share a way for each direction. What was sent while a batch is under way leaves together with the next
// one. Batches are numbered, and one is called again until it is answered: so a link that begins anew loses nothing, and nothing comes
// twice. A process that is not reached for a few seconds, or is not heard by its cluster, is lost, and all tunnels to it end.
// While there are tunnels, something is sent every second, so that both ends find out.
//
// # Goroutines and locks
//
// Each process with which there are tunnels has a goroutine that sends. It ends when there are no tunnels, or the process is lost. A
// Handler is called by who works off the batch of the other process, with peer.in held: it must not block. peer.mu is a leaf.
//
// # What happens when it is full
//
// Of one tunnel 1 MiB may wait until it has arrived, or one message that is larger. Beyond, Send returns ErrFull, and a Conn waits.
package tunnel
