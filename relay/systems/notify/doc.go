// Package notify sends notifications to every device of a user: as an item of the user's own channel, for the pages and
// apps that are connected, and as a push to the registered devices, for those that are not.
//
// The entry point is [New], a relay.System. A notification comes from a backend (POST /v1/notify, or the topic
// notification.send) and becomes an item of the channel "user:{id}", group "notifications", with an id and read:false.
// Then a push is sent to all of the user's devices side by side. When the last of them was reached or given up, the topic
// notification.delivered or notification.failed says how many it were; for a user without a device it is
// notification.failed with the reason no_devices. A notification that is marked as read on one device is read on all: the
// item changes.
//
// It refuses notifications without a user or a title, and what does not fit into a message; devices whose address is not
// public and https, whose keys are not valid, or whose kind is not configured. What is too long for a push is left out
// of the push, data first and then the end of the body: the item in the channel is whole.
//
// A response has a class. Delivered; gone: the device is removed; refused: trying again would not help; failed: the push is
// sent again after growing pauses and no sooner than Retry-After says, for as long as "retry" allows; and alarming: the
// service does not accept the relay's own key, which is for the operator to mend and no fault of the device.
//
// # When it is full
//
// A limited number of notifications is on its way at once; beyond that, the response to one more is 503. A user has a
// limited number of devices and of notifications; the oldest are removed. A device that hangs takes one of the limited
// attempts until its timeout; a host that has failed several times in a row rests, and so does not take them all.
//
// # State
//
// Devices are items of "notify:{user}", group "devices", notifications those of the user's own channel. Both are durable
// when there is a data directory. So are pending deliveries, in "notify:=way:{n}": they are resumed after a restart, and a
// device may then receive one a second time. "notify:=owner:{xx}" has the owner of a device.
//
// On several nodes all of a user is done by the node that owns the user's own channel; all of this is durable there. What is pending is in a channel of the
// user's partition, with the devices that were reached. The next node of the user reads it, waits for the attempts of the one before, if that is heard, and goes on. Whose a
// device is is decided by the node that owns its part of the owners.
//
// # Goroutines and locks
//
// Package retryqueue runs the attempts; Close waits for them, and for the goroutine that resumes what was pending, at the start or whenever users become this
// node's.
// queue.mu guards the deliveries and the hosts, inside the lock of retryqueue; it is not held while anything is sent,
// published or logged. Each token has a lock of its own. The locks of ways, attempts and claims are leaves, too.
package notify
