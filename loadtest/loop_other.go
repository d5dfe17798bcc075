//go:build !linux

package loadtest

// newLoop starts a loop. Its goroutines end by stop, which waits for them.
func newLoop(cfg loopConfig) (loop, error) { return newGoroutineLoop(cfg), nil }
