package loadtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// spare is what the processors of this process have had to do so far, in ticks: also the kernel's receiving for it,
// which the CPU time of a process does not show.
type spare struct{ idle, all int64 }

// readSpare reads it. Without processors of its own (taskset) it is nothing: the target may be using them.
func readSpare() spare {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return spare{}
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return spare{}
	}
	return parseSpare(string(b), set.IsSet)
}

func parseSpare(stat string, own func(cpu int) bool) spare {
	var s spare
	others := false
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		cpu, err := strconv.Atoi(strings.TrimPrefix(line[:min(len(line), max(strings.IndexByte(line, ' '), 0))], "cpu"))
		if err != nil || !strings.HasPrefix(line, "cpu") || len(fields) < 9 {
			continue
		}
		if !own(cpu) {
			others = true
			continue
		}
		for i, f := range fields[1:9] { // user nice system idle iowait irq softirq steal
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return spare{}
			}
			s.all += n
			if i == 3 || i == 4 {
				s.idle += n
			}
		}
	}
	if !others {
		return spare{}
	}
	return s
}

// The share of its processors' time below which they are taken to be full, and how many ticks make a share.
const (
	spareLeast = .03
	spareTicks = 50
)

// note returns a warning if the processors had nothing to spare since before, and "" otherwise.
func (s spare) note(before spare) string {
	idle, all := s.idle-before.idle, s.all-before.all
	if all < spareTicks || float64(idle) > spareLeast*float64(all) {
		return ""
	}
	return fmt.Sprintf("the processors of the load generator were busy for %.0f %% of the time, the kernel's work included: the target may do more than this", 100-100*float64(idle)/float64(all))
}
