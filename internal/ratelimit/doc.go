// Package ratelimit limits how often a client may ask.
//
// A [Bucket] is one asker's: a token bucket, which belongs to one goroutine and takes no lock. [Users] has a bucket for
// each user, for requests that come over many connections; it may be used by many goroutines, and remembers a bounded
// number of users. A rate without a limit refuses nothing.
package ratelimit
