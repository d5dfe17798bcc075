// Package place says where channels belong: [Partition] is the partition of a channel, [Weight] how much a process is to own one.
//
// It holds no state. What it returns must be the same in all processes of a cluster, for as long as that lives.
package place
