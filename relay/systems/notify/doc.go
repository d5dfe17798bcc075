// Package notify tells users of something on every device they have: as an item in their own channel, for the
// pages and apps that are connected, and as a push to the devices that are registered, for those that are not.
//
// The entry point is [New], a relay.System. A notification comes from a backend (POST /v1/notify, or the topic
// notification.send) and goes to the channel "user:{id}", group "notifications", with an id and read:false. Then
// all of the user's devices are tried side by side. When the last of them has been reached or given up, the topic
// notification.delivered or notification.failed says how many it were; a user without a device is told as failed,
// with the reason no_devices. Marked read on one device, it is read on all: the item changes.
//
// It refuses notifications without a user or a title, and what does not fit into a message; devices whose address
// is not public and https, whose keys are none, or whose kind is not configured. What is too long for a push is
// left out of the push, data first and then the end of the body: the item in the channel is whole.
//
// An answer has a class. Delivered; gone, then the device is forgotten; refused, which trying again would not
// change; failed, which is tried again with growing pauses and no sooner than Retry-After says, for as long as
// "retry" allows; and alarming, when the service does not accept the relay's own key, which is the operator's
// concern and says nothing of the device.
//
// # When it is full
//
// So many notifications are on their way at once; beyond that, sending one is answered 503. A user has so many
// devices and so many notifications; the oldest go. A device that hangs takes one of the bounded attempts until
// its timeout; a host that has failed several times in a row is given a rest, and so does not take them all.
//
// # State
//
// Devices are items of "notify:{user}", group "devices", notifications those of the user's own channel. Both are
// durable when there is a data directory. So is what is under way, in "notify:=way:{n}": after a restart it is
// taken up again, and a device may then be told a second time. "notify:=owner:{xx}" says whose a device is.
//
// # Goroutines and locks
//
// Attempts run on a pool of workers; a timer starts what is due later. Close stops the timer and waits for the
// workers, which its context ends. queue.mu guards everything that waits; it is not held while anything is sent,
// published or logged. Each sender has a lock of its own around its token.
package notify
