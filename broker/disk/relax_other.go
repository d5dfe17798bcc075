//go:build !linux

package disk

// relax does nothing.
func (*database) relax() {}
