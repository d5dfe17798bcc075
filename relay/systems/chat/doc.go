// Package chat keeps rooms: their members, messages, read markers, and who is typing.
//
// The entry point is [New], a relay.System. Users reach it over HTTP (/chat/rooms and below), and over the topics
// chat.typing.start and chat.typing.stop. What happens in a room is sent on its channel, "room:{id}", as changes
// that leave no item behind, but for the group "typing"; what happens to a user's rooms is sent on the user's own
// channel, "user:{id}", in the group "rooms". Backends get it as the topics chat.*.
//
// Only members may follow "room:{id}": the package guards that namespace. A member who is
// removed loses the subscriptions to the room and to its presence in the same moment. Clients publish nothing
// there: their messages go through the routes.
//
// It refuses, each time with a text and the field: names, descriptions, contents and reactions beyond their
// lengths, which count Unicode code points; members, rooms of a user and reactions beyond their number. Messages
// beyond their number drop the oldest.
//
// # State
//
// What must last lies in channels of namespaces of its own, which are durable if the relay has a data directory:
//
//	chat:room:{id}      room/meta, members/{user}, deleted/{block}, starts/{block}: its first message
//	chat:log:{id}:{n}   messages/{message}: block n of the room's messages, blockSize positions each
//	chat-user:{user}    rooms/{room}: an index of what chat:room has of the user
//
// A message's id is a UUID that grows within the room, so that its block is known from the first ones of all blocks; one
// from before begins with its position. A nonce is part of its message. What can be
// read out of these is kept once: what the newest message is, how far the positions go, which nonces are known.
//
// # Several nodes
//
// A room is kept by the node that owns its channels, and the index of a user by the one that owns the user's channel: routes are carried out
// there. See pending.go for how the two agree, and typing.go for who is typing. A room is dropped from memory when its node loses it, or
// begins to own it, and when something was not stored; what was read by then is no reason to write any more: room.lost.
//
// # Who orders what
//
// room.mu orders everything that changes a room: its record, members, messages, reactions, read markers, and what
// is sent on its channel. Nothing under it waits for a disk or runs code of others: what was appended is waited
// for when the lock has been let go, and channels that may have left memory are read before it is taken. There
// is one room for an id at any time (rooms keeps it while it is in use), and what changes a room holds it.
//
// Events for backends come in the order of the changes: each change gets its place under room.mu, and its
// events are emitted when those before it have been, without the lock.
//
// Locks, in this order: room.mu, then a part of typing, then a channel's. rooms.mu is never held with any of them.
// The guard takes none of these: it asks the channel that holds the members.
//
// # Goroutines
//
// The timers of users who are typing, which Close stops, and one that repairs indexes. On several nodes a request may ask others on goroutines of
// its own, which it waits for.
package chat
