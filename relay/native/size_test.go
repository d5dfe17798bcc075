package native

import (
	"testing"
	"unsafe"
)

// TestSessionIsSmall: what a connection takes, with its output and what reads it, stays in the allocator's class of 640 bytes. The next is 704.
func TestSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(speaker{}); size > 640 {
		t.Errorf("a session has %d bytes", size)
	}
}
