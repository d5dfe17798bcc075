// Package revoked remembers the channels that access was lately taken away from: the last 1,024 times. It has one mutex, a leaf, and starts no
// goroutine; beyond that the oldest is forgotten, and a client that may have missed it is to try again.
package revoked
