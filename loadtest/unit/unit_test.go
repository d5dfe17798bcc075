package unit

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// A write has a price on this machine, whatever it is, and nothing stays open.
func TestAWriteHasAPrice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("measured on Linux only")
	}
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if _, err := Measure(1); err != nil { // the runtime opens its poller once
		t.Fatal(err)
	}
	before, procs := open(), runtime.GOMAXPROCS(0)
	p, err := Measure(3)
	if err != nil {
		t.Fatal(err)
	}
	// below 0.1 µs nothing was written, above 1 ms something else was measured
	if p.Micros < .1 || p.Micros > 1000 || p.Low > p.Micros || p.High < p.Micros || p.Runs != 3 || p.Bytes != Bytes || p.Sockets != Sockets {
		t.Errorf("%+v", p)
	}
	if after := open(); after != before || runtime.GOMAXPROCS(0) != procs {
		t.Errorf("%d descriptors became %d, %d processors %d", before, after, procs, runtime.GOMAXPROCS(0))
	}
}

func TestThePriceIsTheMedian(t *testing.T) {
	if p := priceOf([]float64{9, 2, 4, 3}, true); p.Micros != 3.5 || p.Low != 2 || p.High != 9 || p.Runs != 4 {
		t.Errorf("%+v", p)
	}
	p := priceOf([]float64{3, 1, 2}, false)
	if got := p.String(); p.Micros != 2 || !strings.HasPrefix(got, "2.00 µs for one write of 150 B to each of 1000 sockets in turn, read on the same processor") {
		t.Error(p)
	}
}
