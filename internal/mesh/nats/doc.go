// Package nats is a mesh on NATS: core NATS carries the frames, the table is a bucket of JetStream's key-value store, and logs and shelf are streams.
//
// It is the only package that imports the client of NATS. Its goroutines are those of the client, and one that makes the bucket
// and watches it; all end with Close.
package nats
