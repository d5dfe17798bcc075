package process_test

import (
	"runtime"
	"testing"

	"weir/internal/process"
)

// TestCPUTime works until the time that is counted has grown.
func TestCPUTime(t *testing.T) {
	before := process.CPUTime()
	for x := 0; process.CPUTime() <= before; x++ { // a coarse clock moves every 16 ms
		runtime.KeepAlive(x * x)
	}
}

func TestDescriptorLimit(t *testing.T) {
	limit, known := process.DescriptorLimit()
	if known != (runtime.GOOS != "windows") || known && limit < 3 {
		t.Errorf("limit %d, known %v", limit, known)
	}
}
