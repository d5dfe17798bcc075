// Package register judges a register: an item that clients write and read at the same time, by whatever node, while nodes fail. What they were answered must be what one register
// could have answered to which one thing happens at a time, each between its request and its answer: it must be linearizable. A write without an answer was made at some time after its
// request, or never.
//
// Each value is written once, so that a read says which write it saw. The search is porcupine's.
package register
