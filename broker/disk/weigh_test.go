package disk

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// weighed names the environment's directory that a process of the tests is to open and weigh itself with.
const weighed = "WEIR_TEST_WEIGHED"

// weigh is a process of its own that opens a directory, reads a few channels, waits until the database has everything and
// the sweep has seen all of it, and says what it holds then: what it did before to make the directory is not in it.
func weigh(dir string) error {
	j, err := Open(Config{Dir: dir, Policy: everything})
	if err != nil {
		return err
	}
	most := 0.0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; <-tick.C {
		most = max(most, resident("RssAnon:"))
		if j.Stats().Backlog == 0 || time.Since(begun) > time.Minute {
			break
		}
	}
	for i := range 10 {
		if _, ok, err := j.Load(fmt.Sprint("room:", i*777), "fresh"); !ok || err != nil {
			return fmt.Errorf("channel %d: %v %w", i*777, ok, err)
		}
	}
	for place := j.sweep(nil); place != nil; place = j.sweep(place) {
		most = max(most, resident("RssAnon:"))
	}
	debug.FreeOSMemory() // collects first
	fmt.Println("heap-MiB", heap()/(1<<20))
	fmt.Println("anon-MiB", resident("RssAnon:"))
	fmt.Println("most-anon-MiB", most)
	fmt.Println("file-MiB", resident("RssFile:"))
	return j.Close()
}

// heap is how many bytes are in use once everything else has been collected.
func heap() float64 {
	for range 3 { // pools let go of what they hold at the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// resident is a line of the process's status, in MiB; 0 where there is none.
func resident(name string) float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == name {
			kib, _ := strconv.ParseFloat(f[1], 64)
			return kib / 1024
		}
	}
	return 0
}
