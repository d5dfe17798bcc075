package native

import (
	"testing"
	"unsafe"
)

// TestSessionIsSmall: what a connection takes, with its output and what reads it, stays in the allocator's class of 576 bytes, 8 of which are its own. The next is 640.
func TestSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(speaker{}); size > 568 {
		t.Errorf("a session has %d bytes", size)
	}
}
