// Package view is what a cluster is seen as: by people, by programs that look after it, and by those that measure it. It is plain data:
// package cluster fills it, and there is no state, lock or goroutine.
package view
