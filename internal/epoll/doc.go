// Package epoll waits for many descriptors at once.
//
// A [Set] is the kernel's set, as it is: for a thread that blocks on it by itself. A [Waiter] is a set whose own descriptor
// waits in the runtime's poller, so that the goroutine that serves it parks as any other does: [NewWaiter], [Set.Add],
// [Waiter.Wait], and [Waiter.Wake] from any goroutine. Adding and removing may be done by any goroutine, waiting by one
// at a time. The package starts no goroutine and knows nothing of what the descriptors are.
//
// Systems other than Linux have no sets: making one fails there.
package epoll
