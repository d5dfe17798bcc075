// Package forward is what one process has of what it has asked another one to do: an [Answer], which comes later, or never.
//
// It has no state and no goroutines of its own.
package forward
