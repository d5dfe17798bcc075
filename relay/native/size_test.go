package native

import (
	"testing"
	"unsafe"
)

// TestSessionIsSmall: what a connection takes, with its output and what reads it, stays in the allocator's class of 512 bytes. The next is 576, 8 of which are its own.
func TestSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(speaker{}); size > 512 {
		t.Errorf("a session has %d bytes", size)
	}
}
