// Package presence keeps who is in which channel.
//
// [New] makes a [Presence], and [Presence.Start] gives it the broker in whose channels it tells of users. A user is in a channel while any
// of their connections is subscribed ([Presence.Join], [Presence.Leave]), or has said so itself ([Presence.Attend], which holds for 60
// seconds unless [Presence.Heartbeat] renews it). What is new goes to the channel's presence channel, as items of the group "users".
// With several nodes each reports whom it has; the node that owns a channel puts that together and tells it, once ([Presence.Share]).
//
// # What it refuses
//
// To attend a channel whose presence channel would have too long a name, and anything new after [Presence.Close].
//
// # Goroutines and locks
//
// It starts no goroutine: a timer runs for a user whose last connection broke off, and for one who only attends. Channels are spread over
// 64 parts. A part's mu guards all of its channels; it is taken after a session's lock and before the lock of a channel, and in a cluster
// before the mu of a part of the crowd, which guards what all nodes say.
//
// # What happens when it is full
//
// Nothing here is bounded by itself: there are no more users than connections and attendances, which limits elsewhere bound. A presence
// channel that takes no more items is no reason to keep anybody out of the channel.
package presence
