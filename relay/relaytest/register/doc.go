// Package register judges a register: an item that clients write and read at the same time. It must be linearizable, see package linear.
//
// Each value is written once, so that a read says which write it saw.
package register
